"""``ubp init``: examine undescribed files, and draft a layout to edit."""

from dataclasses import dataclass
from pathlib import Path

from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import shipped
from ubp_platform.layouts.draft import Draft, draft
from ubp_platform.layouts.source import Source, recognise
from ubp_platform.layouts.survey import Family, survey


@dataclass(frozen=True)
class Initialised:
    """What ``ubp init`` did.

    Parameters
    ----------
    families : list of Family
        The files, grouped by their columns.
    draft : Draft
        The layout that was written.
    known : str
        The shipped layout that fits the files; empty if none does.
    """

    families: list[Family]
    draft: Draft
    known: str


def init(path: Path, directory: Path) -> Initialised:
    """Draft a layout in a new directory for a file, a folder or a tree.

    Raises
    ------
    UBPError
        If no file has a time, or the directory is not empty.
    """
    source = Source.at(path)
    families = survey(source)
    written = draft(families, directory)
    try:
        known = recognise(source, shipped()).layout.name
    except UBPError:
        known = ""
    return Initialised(families, written, known)
