"""What the page of versions shows: how old they are, how they differ, what was scored."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.compare import comparisons
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.last import last_evaluation
from ubp_platform.serving.reading import Reader


@dataclass(frozen=True)
class Compared:
    """The last comparison with a version."""

    other: str
    at: datetime
    crossed: list[str]


@dataclass(frozen=True)
class VersionRow:
    """A version that is online."""

    about: dict[str, Any]
    compared: Compared | None
    clients: int | None


@dataclass(frozen=True)
class VersionsPage:
    """The versions, and the last evaluation.

    Parameters
    ----------
    rows : list of VersionRow
        The served one first.
    sums : list of (str, float)
        Names and scores, the best first.
    made_at, cutoff : str
        Of the evaluation; empty without one.
    has_report : bool
    """

    rows: list[VersionRow]
    sums: list[tuple[str, float]]
    made_at: str
    cutoff: str
    has_report: bool


def versions_page(reader: Reader) -> VersionsPage:
    """Gather what is shown of all versions."""
    kept = comparisons(reader.home)
    rows = []
    for one in reader.versions():
        name = str(one["version"])
        last = next((found for found in kept if found.b.version == name), None)
        compared = None
        if last:
            crossed = [limit.sentence for limit in last.crossed]
            compared = Compared(last.a.version, last.made_at, crossed)
        rows.append(VersionRow(one, compared, _clients(reader, name)))
    rows.sort(key=lambda row: (not row.about["served"], str(row.about["version"])))
    found = last_evaluation(reader.home)
    sums: dict[str, float] = {}
    if found:
        compared_names = [
            row["name"] for row in found["scores"]["representations"] if row["kind"] != "without"
        ]
        sums = {name: found["scores"]["sums"][name] for name in compared_names}
    return VersionsPage(
        rows=rows,
        sums=sorted(sums.items(), key=lambda pair: -pair[1]),
        made_at=found["made_at"] if found else "",
        cutoff=found["cutoff"] if found else "",
        has_report=reader.home.report.exists(),
    )


def _clients(reader: Reader, name: str) -> int | None:
    try:
        return reader.store(name).publication().clients
    except UBPError:
        return None
