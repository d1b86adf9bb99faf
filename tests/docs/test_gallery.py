"""The examples of the gallery run; they share one directory, and so one trained home."""

import runpy
from pathlib import Path

import pytest

from ubp_platform.home import PROJECT_ROOT

GALLERY = PROJECT_ROOT / "docs" / "gallery"
PROGRAMS = sorted(GALLERY.glob("*.py"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_program(
    program: Path,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(GALLERY))
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out
    assert len(program.read_text("utf-8").splitlines()) <= 65


def test_all_are_in_the_index() -> None:
    index = (PROJECT_ROOT / "docs" / "README.md").read_text("utf-8")
    assert len(PROGRAMS) == 5
    assert all(f"(gallery/{program.name})" in index for program in PROGRAMS)
