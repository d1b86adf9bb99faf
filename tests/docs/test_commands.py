"""Every command of README.md and of the how-to pages runs, in order; all others parse.

A block that costs too much or needs another machine is marked above it, with the reason:
``<!-- not run: … -->``. ``<!-- file: PATH -->`` writes a block to a file before the next command.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer import Context
from typer.main import get_command

import cli
from tests.docs.pages import GENERATED, PAGES, README, code_blocks, prose
from tests.docs.shop_log import write_log

APP = get_command(cli.app)
SHELL = "sh"
LANGUAGES = {SHELL, "python", "sql", "toml", "yaml", "json", "csv", "ini", "text"}
HOW_TO = [page for page in PAGES if page.parent.name == "how-to"]
#: Programs besides `ubp` that pages name; their lines are not run.
PROGRAMS = {"make", "pip", "feast", "docker", "redis-cli", "source", "curl", "ray"}


def commands(text: str) -> Iterator[list[str]]:
    """Split a block into commands; comments and variables before a command are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            while words and (re.match(r"\w+=", words[0]) or words[0] == "export"):
                words.pop(0)
            if words:
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def parse(arguments: list[str]) -> None:
    """Check names and values of a command's arguments without running it."""
    name, *others = arguments
    command = APP.get_command(Context(APP), name)
    assert command, f"no command `ubp {name}`"
    if others != ["--help"]:
        command.make_context(name, others)


def run_page(page: Path) -> None:
    """Do what a page shows in the current directory, with `entities` as its variables."""
    names: dict[str, object] = {}
    for block in code_blocks(page):
        if block.file:
            Path(block.file).parent.mkdir(exist_ok=True)
            Path(block.file).write_text(block.text)
        elif block.not_run:
            continue
        elif block.language == "python":
            exec(block.text, names)
        elif block.language == SHELL:
            for program, *arguments in commands(block.text):
                assert program == "ubp", f"{page}: mark the block with {program!r} as not run"
                assert not cli.app(arguments, standalone_mode=False), arguments


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the log of README.md, in which all that README.md shows was done."""
    directory = tmp_path_factory.mktemp("shop")
    write_log(directory / "logs")
    rows = [(f"user_{n:05}", pd.Timestamp("2026-03-20"), n % 2) for n in range(1, 21)]
    entities = pd.DataFrame(rows, columns=["client_id", "event_timestamp", "churned"])
    entities.to_parquet(directory / "entities.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_page(README)
    return directory


def test_readme(shop: Path) -> None:
    assert pd.read_parquet(shop / "training.parquet")["known"].sum() > 15


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_how_to(page: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page continues where README.md ends."""
    monkeypatch.chdir(shutil.copytree(shop, tmp_path / "shop"))
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse(page: Path) -> None:
    if page == GENERATED:
        return
    for block in code_blocks(page):
        assert block.language in LANGUAGES, f"a block of {page} has no known language"
        for program, *arguments in commands(block.text) if block.language == SHELL else ():
            assert program in {"ubp", *PROGRAMS} or program.startswith("python"), program
            if program == "ubp":
                parse(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_inline_commands_exist(page: Path) -> None:
    for text in re.findall(r"`ubp ([^`]+)`", prose(page)):
        name, *others = text.split()
        command = APP.get_command(Context(APP), name)
        assert command or name.startswith("-"), f"no command `ubp {name}`"
        known = {option for found in (command or APP).params for option in found.opts}
        anywhere = {option for found in APP.params for option in found.opts} | {"--help"}
        used = {word for word in others if word.startswith("--")}
        assert used <= known | anywhere | {"--log-json"}, text
