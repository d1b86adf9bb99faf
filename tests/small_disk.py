"""A disk so small that it can be full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A disk of 48 MB."""

    path: Path

    @contextmanager
    def full(self, room: int) -> Iterator[None]:
        """Leave so many bytes for a while."""
        found = os.statvfs(self.path)
        ballast = self.path / "ballast"
        ballast.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - room)))
        try:
            yield
        finally:
            ballast.unlink()


@contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    """Mount one; where that is not allowed the test is skipped."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (root may)")
    yield SmallDisk(place)
    # Lazily: Feast keeps its registry open.
    subprocess.run(["umount", "--lazy", str(place)], check=True)
