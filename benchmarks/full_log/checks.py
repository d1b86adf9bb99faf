"""Checks before hours of work, and before anything is written."""

import os
from pathlib import Path

from benchmarks.full_log.processes import STEPS
from ubp_platform.errors import UBPError

_USE = os.W_OK | os.X_OK


def check_steps(steps: list[str], place: Path) -> None:
    """Check that steps have their input, from an earlier run or from one another."""
    run = {*steps}
    for name in reversed(STEPS):
        for need in STEPS[name].needs if name in run else ():
            # The output of a step is outdated if a step before it runs again.
            outdated = run.intersection(STEPS[need].needs)
            if outdated or not (place / STEPS[need].leaves).exists():
                run.add(need)
    if missing := [name for name in STEPS if name in run.difference(steps)]:
        raise UBPError(
            f"in {place}, {', '.join(missing)} must run before {', '.join(steps)}: "
            f"--steps {' '.join(name for name in STEPS if name in run)}"
        )


def check_directory(directory: Path) -> None:
    """Check that a directory exists or can be created, and is writable."""
    nearest = next(path for path in (directory, *directory.parents) if os.access(path, os.F_OK))
    if not nearest.is_dir() or not os.access(nearest, _USE):
        raise UBPError(f"{directory} is not a directory that can be written to")


def check_document(document: Path) -> None:
    """Check that a document can be appended to, and a picture written next to it."""
    parent = document.parent
    if not os.access(parent, os.F_OK):
        raise UBPError(f"{document} cannot be written: there is no directory {parent}")
    check_directory(parent / "pictures")
    target = document if document.exists() else parent
    if document.is_dir() or not os.access(target, os.W_OK):
        raise UBPError(f"{document} is not a file that can be written to")
