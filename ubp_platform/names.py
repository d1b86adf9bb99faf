"""Names that are given once: ``v1``, ``v2``, … of blocks and profiles, ``p1``, … of publishes.

Each is recorded by an empty file in ``HOME/names/``, which stays when the version is removed. So a
name never means anything else than what it was first given to.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from ubp_platform.files import make_directory, restrict, sync
from ubp_platform.home import Home


def give_name(home: Home, kind: str, taken: Iterable[str] = (), prefix: str = "v") -> str:
    """Return a name that nothing of this kind has ever had.

    Parameters
    ----------
    home : Home
    kind : str
        Such as ``profiles`` or ``blocks/lightfm``.
    taken : iterable of str
        Names that are in use; homes of earlier releases have not recorded them.
    prefix : str
    """
    directory = home.root / "names" / kind
    make_directory(directory)
    while True:
        names = {*taken, *(path.name for path in directory.iterdir())}
        name = f"{prefix}{max((number(name, prefix) for name in names), default=0) + 1}"
        try:
            remember(directory / name)
        except FileExistsError:  # another process was faster
            continue
        return name


def remember(marker: Path) -> None:
    """Record a name by its file in ``HOME/names/``; FileExistsError if it is recorded already."""
    make_directory(marker.parent)
    marker.touch(0o666, exist_ok=False)
    restrict(marker)
    sync(marker.parent)


def number(name: str, prefix: str = "v") -> int:
    """Return the number of a name; 0 if it is none.

    Examples
    --------
    >>> number("v12"), number("p3", "p"), number("v1.old")
    (12, 3, 0)
    """
    found = re.fullmatch(rf"{prefix}(\d+)", name)
    return int(found[1]) if found else 0
