"""How far profiles may differ: the limits of the settings, and which of them are crossed."""

from collections.abc import Mapping

from pydantic import BaseModel

from ubp_platform.settings import Settings


class Crossed(BaseModel):
    """A limit that is crossed.

    Parameters
    ----------
    block : str
        Empty for what is counted over whole profiles; for gaps, the table of events.
    measure : str
    value, limit : float
    """

    block: str
    measure: str
    value: float
    limit: float

    @property
    def sentence(self) -> str:
        """What is wrong, in a few words."""
        if self.measure == "gap":
            return f"{self.block}: {self.value:.0f} days without an event, above {self.limit:.3g}"
        value, limit = (f"{number:.3g}" for number in (self.value, self.limit))
        side = "below" if self.measure in LEAST else "above"
        return f"{self.block or 'clients'}: {WORDS[self.measure]} {value}, {side} {limit}"


#: What is too small where the others are too large.
LEAST = ("cosine", "overlap")
WORDS = {
    "shift": "the mean moved by",
    "cosine": "a client's cosine is",
    "absent": "the share of absent clients changed by",
    "psi": "the PSI of a principal component is",
    "columns": "the share of columns that moved is",
    "auroc": "the AUROC of A against B is",
    "overlap": "the overlap of neighbours is",
    "gone": "the share of those who are gone is",
}


class Limits(BaseModel):
    """The limits; see ``docs/how-to/watch.md`` for the measurements behind the defaults.

    Parameters
    ----------
    shift, psi, columns, auroc, absent, gone, gap : float
        At most; ``gap`` in lengths of the next longest gap of an event type.
    cosine, overlap : float
        At least.
    """

    shift: float
    cosine: float
    psi: float
    columns: float
    auroc: float
    overlap: float
    absent: float
    gone: float
    gap: float = 2

    @classmethod
    def load(cls) -> "Limits":
        """Read the limits from the settings (``UBP_COMPARE_…``)."""
        settings = Settings.load()
        return cls(**{name: getattr(settings, f"compare_{name}") for name in cls.model_fields})

    def crossed(self, block: str, measured: Mapping[str, float | None]) -> list[Crossed]:
        """Return the limits that are crossed; a measure that is None crosses none."""
        return [
            Crossed(block=block, measure=name, value=value, limit=getattr(self, name))
            for name, value in measured.items()
            if value is not None and self.used(name, value) > 1
        ]

    def used(self, measure: str, value: float) -> float:
        """Return how much of its limit a measure uses up; it is crossed above 1."""
        limit = float(getattr(self, measure))
        if measure in LEAST:
            value, limit = 1 - value, 1 - limit
        elif measure == "auroc":  # of chance
            value, limit = max(value - 0.5, 0.0), limit - 0.5
        return value / limit if limit > 0 else float("inf") if value > 0 else 0.0
