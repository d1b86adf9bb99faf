"""The recording of a command's writes, and what a power loss leaves of them: known answers."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.chaos.recording import Disk, read_tree
from benchmarks.chaos.shim import compiled

START = """
import ctypes, os, sys
ctypes.CDLL(None).chaos_start(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.c_long(KILL_AT))
os.chdir(sys.argv[1])
def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)
"""
ZEROS = b"\0\0\0"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = compiled(tmp_path_factory.mktemp("shim"))
    if library is None:
        pytest.skip("no C compiler")
    return library


def run(program: str, shim: Path, place: Path, kill_at: int = 0) -> Disk:
    """Run a program in a directory that holds the synced file ``old``."""
    root, log = place / "root", place / "log"
    root.mkdir()
    (root / "old").write_text("old")
    disk = Disk(root)
    text = START.replace("KILL_AT", str(kill_at)) + program
    environment = {"LD_PRELOAD": str(shim)}
    command = [sys.executable, "-S", "-c", text, str(root), str(log)]
    subprocess.run(command, check=not kill_at, env=environment)
    disk.replay(log)
    assert disk.without_power_loss() == read_tree(root)
    return disk


def outcomes(disk: Disk, name: str) -> set[bytes | None]:
    """Return what a file may hold after a power loss; None if it may be missing."""
    return {disk.after_power_loss(Random(seed)).get(name) for seed in range(200)}


@pytest.mark.parametrize(
    ("program", "name", "expected"),
    [
        ("write('new', 'new')", "new", {None, b"", ZEROS, b"new"}),
        ("write('new', 'new'); sync('new')", "new", {None, b"new"}),
        ("write('new', 'new'); sync('new'); sync('.')", "new", {b"new"}),
        ("write('new', 'new'); sync('.')", "new", {b"", ZEROS, b"new"}),
        ("write('old', 'new', 'a')", "old", {b"old", b"old" + ZEROS, b"oldnew"}),
        ("write('old', 'new')", "old", {b"old", ZEROS, b"new"}),
        ("os.ftruncate(os.open('old', os.O_RDWR), 1)", "old", {b"old", b"o"}),
        ("os.unlink('old')", "old", {b"old", None}),
        ("write('n', 'new'); sync('n'); os.replace('n', 'old')", "old", {b"old", b"new"}),
        ("write('n', 'new'); os.replace('n', 'old'); sync('.')", "old", {b"", ZEROS, b"new"}),
        (
            "write('n', 'new'); sync('n'); os.replace('n', 'old'); sync('.')",
            "old",
            {b"new"},
        ),
        ("os.mkdir('d'); write('d/new', 'new'); sync('d/new'); sync('d')", "d/new", {None, b"new"}),
        (
            "os.mkdir('d'); write('d/new', 'new'); sync('d/new'); sync('d'); sync('.')",
            "d/new",
            {b"new"},
        ),
    ],
)
def test_what_a_power_loss_leaves(
    program: str, name: str, expected: set[bytes | None], shim: Path, tmp_path: Path
) -> None:
    assert outcomes(run(program, shim, tmp_path), name) == expected


def test_a_process_is_killed_before_its_change(shim: Path, tmp_path: Path) -> None:
    disk = run("write('a', 'a'); write('b', 'b')", shim, tmp_path, kill_at=3)
    assert disk.changes == 2
    assert disk.without_power_loss() == {"a": b"a", "old": b"old"}
