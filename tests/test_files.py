"""Files and directories appear complete or not at all, and debris of killed processes goes."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ubp_platform import files
from ubp_platform.files import atomic_file, new_directory, write_text

#: Begins to write a file and a directory, says so, and waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from ubp_platform.files import atomic_file, new_directory

def forever(directory):
    (directory / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(60)

place = Path(sys.argv[1])
with atomic_file(place / "file.txt") as temporary:
    temporary.write_text("half")
    new_directory(place, forever, lambda: "v1")
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A directory with what a killed process left behind."""
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout
    assert program.stdout.readline() == "writing\n"
    write_text(tmp_path / "another.txt", "while it writes")
    assert len(hidden(tmp_path)) == 2
    program.kill()
    program.wait()
    program.stdout.close()
    return tmp_path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def hidden(directory: Path) -> list[str]:
    return [name for name in names(directory) if name.startswith(".")]


def test_debris_of_a_killed_process_is_removed_by_the_next_write(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SECONDS_TO_LOCK", 0)
    write_text(killed / "file.txt", "whole")
    assert not hidden(killed)
    assert names(killed) == ["another.txt", "file.txt"]


def test_a_file_that_is_not_locked_yet_stays(killed: Path) -> None:
    write_text(killed / "file.txt", "whole")
    assert len(hidden(killed)) == 2


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_directory_whose_name_is_taken_meanwhile_gets_the_next(tmp_path: Path) -> None:
    given = iter(["v1", "v1", "v2"])

    def write(directory: Path) -> None:
        (directory / "text").write_text("…")

    assert new_directory(tmp_path, write, lambda: next(given)).name == "v1"
    assert new_directory(tmp_path, write, lambda: next(given)).name == "v2"
    assert names(tmp_path) == ["v1", "v2"]


def test_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path, both = tmp_path / "file.txt", threading.Barrier(2)

    def write(text: str) -> None:
        with atomic_file(path) as temporary:
            temporary.write_text(text)
            both.wait()

    writers = [threading.Thread(target=write, args=(letter * 1000,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in ("a" * 1000, "b" * 1000)


def test_the_first_writer_wins_where_nothing_is_replaced(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_file(tmp_path / "file.txt", replace=False) as temporary:
            temporary.write_text(text)
    assert (tmp_path / "file.txt").read_text() == "first"
    assert names(tmp_path) == ["file.txt"]


def test_what_is_renamed_was_flushed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    flush = os.fsync

    def recorded(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    write_text(tmp_path / "file.txt", "text")
    assert flushed[0].endswith(".part")
    assert flushed[1] == str(tmp_path)
    flushed.clear()
    new_directory(tmp_path, lambda directory: write_text(directory / "inner", "…"), lambda: "v1")
    assert {Path(place).name for place in flushed} >= {"inner", tmp_path.name}


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_what_is_new_is_as_open_as_its_directory(tmp_path: Path, mode: int) -> None:
    home = tmp_path / "home"
    files.make_directory(home / "deep", private=home)
    assert home.stat().st_mode & 0o777 == 0o700
    home.chmod(mode)
    files.make_directory(home / "blocks" / "block")
    write_text(home / "blocks" / "file.txt", "text")
    new_directory(home / "blocks", lambda new: write_text(new / "inner", "text"), lambda: "v1")
    found = {path.name: path.stat().st_mode & 0o777 for path in (home / "blocks").rglob("*")}
    assert found == {
        "block": mode,
        "file.txt": mode & 0o644,
        "v1": mode,
        "inner": mode & 0o644,
    }
