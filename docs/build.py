"""Build the documentation: the reference of the command line, and everything as HTML.

``make docs`` writes ``docs/reference/cli.md`` from the commands, the other pages to ``build/docs``,
and the reference of the Python API, from docstrings, to ``build/docs/api``.
"""

import atexit
import os
import pkgutil
import re
import shutil
import warnings
from importlib import import_module
from pathlib import Path

from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

import cli

DOCS = Path(__file__).parent
CLI_PAGE = DOCS / "reference" / "cli.md"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif }}
pre {{ overflow-x: auto; background: #f5f5f5 }} table {{ border-collapse: collapse }}
img {{ max-width: 100% }} td, th {{ border-bottom: 1px solid #ddd; padding: .2rem .5rem }}</style>
<a href="{root}docs/README.html">Documentation</a> · <a href="{root}api/index.html">Python API</a>
{body}</html>
"""


def cli_reference() -> str:
    """Describe every command and option of ``ubp`` in Markdown."""
    app = get_command(cli.app)
    text = get_docs_for_click(obj=app, ctx=Context(app), name="ubp")
    return f"<!-- Written by `make docs` from cli.py; do not edit. -->\n\n{text.strip()}\n"


def build_pages(root: Path, out: Path) -> list[Path]:
    """Turn the pages of the root and of docs/ into HTML; copy pictures and examples."""
    import markdown2

    written = []
    for page in [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]:
        place = page.relative_to(root)
        extras = ["fenced-code-blocks", "header-ids", "tables", "cuddled-lists"]
        body = markdown2.markdown(page.read_text("utf-8"), extras=extras)
        body = re.sub(r'href="(?!https?:)([^"#]+)\.md(#[^"]*)?"', r'href="\1.html\2"', body)
        target = out / place.with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(place.parts) - 1)
        target.write_text(_PAGE.format(title=page.stem, root=up, body=body), "utf-8")
        written.append(target)
    for pattern in ("docs/**/*.png", "docs/gallery/*.py", "ubp_platform/warehouse/sql/*.sql"):
        for file in root.glob(pattern):
            target = out / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return written


def build_api(package: str, out: Path) -> None:
    """Turn docstrings into HTML, of all modules, not only of what packages re-export."""
    import pdoc

    found = pkgutil.walk_packages(import_module(package).__path__, f"{package}.")
    pdoc.render.configure(docformat="numpy", show_source=False)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".* has already been added"
        )  # where nothing is re-exported
        pdoc.pdoc(package, *(module.name for module in found), output_directory=out)


if __name__ == "__main__":
    # nanobind would report objects that are still in use when the interpreter ends.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    out = DOCS.parent / "build" / "docs"
    CLI_PAGE.write_text(cli_reference(), "utf-8")
    build_pages(DOCS.parent, out)
    build_api("ubp_platform", out / "api")
    print(f"{out / 'docs' / 'README.html'}")
