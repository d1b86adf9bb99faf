"""A disk so small that it can be full."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Of Linux: sched.h and sys/mount.h.
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_PRIVATE, _DETACH = 0x4000 | 0x40000, 2


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


def may_mount() -> None:
    """Give this process mounts of its own; who is not root becomes free to make them by that.

    A process with several threads cannot do so any more. Where it is not allowed at all, nothing
    changes.
    """
    libc = ctypes.CDLL(None)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_MOUNTS) == 0:
        libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None)
    elif libc.unshare(_NEW_MOUNTS | _NEW_USER) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


@contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    """Mount one; where that is not allowed the test is skipped."""
    place.mkdir()
    libc, target = ctypes.CDLL(None), os.fsencode(place)
    if libc.mount(b"none", target, b"tmpfs", ctypes.c_ulong(0), b"size=48m"):
        pytest.skip("a small disk cannot be mounted here: neither as root nor in a namespace")
    yield SmallDisk(place)
    # Lazily: Feast keeps its registry open.
    libc.umount2(target, _DETACH)
