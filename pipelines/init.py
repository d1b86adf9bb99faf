"""``ubp init``: look at unknown files, and write a layout to edit."""

from pathlib import Path

from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import shipped
from ubp_platform.layouts.draft import draft
from ubp_platform.layouts.source import Source, recognise
from ubp_platform.layouts.survey import Family, survey


def init(path: Path, directory: Path) -> tuple[list[Family], list[Path], str]:
    """Draft a layout for files.

    Parameters
    ----------
    path : Path
        A file, a folder or a tree.
    directory : Path
        Gets the layout.

    Returns
    -------
    families : list of Family
    written : list of Path
    known : str
        The layout that ships and fits already; empty where there is none.

    Raises
    ------
    UBPError
        If no file has a time, or the directory is taken.
    """
    source = Source.at(path)
    families = survey(source)
    written = draft(families, directory)
    try:
        known = recognise(source, shipped()).layout.name
    except UBPError:
        known = ""
    return families, written, known
