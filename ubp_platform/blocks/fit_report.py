"""What a fit leaves behind besides weights."""

from datetime import datetime

from pydantic import BaseModel


class FitReport(BaseModel):
    """What a fit leaves behind besides weights.

    Parameters
    ----------
    cutoff : datetime
        The model saw nothing at or after it.
    seconds : float
        How long the fit took.
    clients : int
        How many clients it was fitted on.
    curves : dict of str to list of float
        Losses, one value per epoch: ``train``, ``validation``.
    loss : float, optional
        The loss of the weights that were kept.
    complete : bool
        False where the fit was interrupted; such a fit is not used again in place of a new one.
    note : str
        What a user should know, such as that the fit was interrupted.
    """

    cutoff: datetime
    seconds: float = 0.0
    clients: int = 0
    curves: dict[str, list[float]] = {}
    loss: float | None = None
    complete: bool = True
    note: str = ""
