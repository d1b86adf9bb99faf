"""What stands in the pages: blocks of code with the marks above them, links, inline commands."""

import re
from dataclasses import dataclass
from pathlib import Path

from ubp_platform.home import PROJECT_ROOT

README = PROJECT_ROOT / "README.md"
PAGES = [README, *sorted((PROJECT_ROOT / "docs").rglob("*.md"))]
GENERATED = PROJECT_ROOT / "docs" / "reference" / "cli.md"
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>not run|file): (?P<value>[^>]*?) -->\n)?"
    r"^[ ]*```(?P<language>\w*)\n(?P<text>.*?)^[ ]*```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block of a page.

    Parameters
    ----------
    language : str
    text : str
    not_run : str
        Why it is not run; empty where it is.
    file : str
        The file that it shows; empty where it shows none.
    """

    language: str
    text: str
    not_run: str = ""
    file: str = ""


def code_blocks(page: Path) -> list[CodeBlock]:
    """List the fenced blocks of a page."""
    return [
        CodeBlock(
            found["language"],
            found["text"],
            found["value"] if found["mark"] == "not run" else "",
            found["value"] if found["mark"] == "file" else "",
        )
        for found in _BLOCK.finditer(page.read_text("utf-8"))
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text("utf-8"))
