"""The record of the last evaluation, read without what it takes to evaluate."""

import json
from typing import Any

from ubp_platform import sealed
from ubp_platform.home import Home


def last_evaluation(home: Home) -> dict[str, Any] | None:
    """Read ``evaluation.json``; None before the first evaluation.

    Raises
    ------
    DamagedFile
        If it is damaged.
    """
    path = home.evaluation / "evaluation.json"
    if not path.exists():
        return None
    cure = "`ubp evaluate` writes it again"
    found: dict[str, Any] = sealed.read(path, cure, lambda: json.loads(path.read_text()))
    return found


def last_profile(home: Home) -> str | None:
    """Return the name of the profile version that was evaluated last, if one was."""
    found = last_evaluation(home)
    return found["profile"] if found else None
