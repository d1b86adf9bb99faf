"""The report of a fit: cutoff, duration, losses."""

from datetime import datetime

from pydantic import BaseModel


class FitReport(BaseModel):
    """The report of a fit: cutoff, duration, losses.

    Parameters
    ----------
    cutoff : datetime
        The fit used only events before it.
    seconds : float
    clients : int
        Number of clients it was fitted on.
    curves : dict of str to list of float
        Losses, one value per epoch: ``train``, ``validation``.
    loss : float, optional
        The loss of the weights that were kept.
    complete : bool
        False where the fit was interrupted; such a fit is not reused in place of a new one.
    note : str
        A remark for the user, such as that the fit was interrupted.
    """

    cutoff: datetime
    seconds: float = 0.0
    clients: int = 0
    curves: dict[str, list[float]] = {}
    loss: float | None = None
    complete: bool = True
    note: str = ""
