"""The reference is in step with the code, and every link and path leads somewhere."""

import re
from pathlib import Path

import pytest

from docs.build import CLI_PAGE, build_api, build_pages, cli_reference
from tests.docs.pages import GENERATED, PAGES, prose
from ubp_platform.home import PROJECT_ROOT

CODE = ("ubp_platform", "pipelines", "benchmarks", "tests", "feature_repo", "cli.py", "Makefile")


def test_cli_page_is_in_step_with_the_commands() -> None:
    assert CLI_PAGE.read_text("utf-8") == cli_reference(), "run `make docs` and commit the page"


def anchors(page: Path) -> set[str]:
    """List the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} does not exist"
        if anchor and target != GENERATED:
            assert anchor in anchors(target), f"{target.name} has no heading for {link}"


def test_pages_that_code_names_exist() -> None:
    for place in CODE:
        root = PROJECT_ROOT / place
        for file in root.rglob("*") if root.is_dir() else [root]:
            if file.suffix in {".py", ".sql", ".yaml", ""} and file.is_file():
                for name in re.findall(r"\bdocs/[\w/-]+\.md", file.read_text("utf-8")):
                    assert (PROJECT_ROOT / name).exists(), f"{file} names {name}"


def test_every_page_is_in_the_index() -> None:
    index = (PROJECT_ROOT / "docs" / "README.md").read_text("utf-8")
    for page in PAGES[1:]:
        name = str(page.relative_to(PROJECT_ROOT / "docs"))
        assert name == "README.md" or f"({name})" in index, f"docs/README.md lacks {name}"


def test_html(tmp_path: Path) -> None:
    pytest.importorskip("markdown2")
    pytest.importorskip("pdoc")
    pages = build_pages(PROJECT_ROOT, tmp_path)
    assert len(pages) == len(PAGES) + 1  # and CHANGELOG.md
    for page in pages:
        for link in re.findall(r'href="(?!https?:|#)([^"#]+)', page.read_text("utf-8")):
            assert "api/" in link or (page.parent / link).exists(), f"{page}: {link}"
    build_api("ubp_platform.events", tmp_path / "api")
    schema = tmp_path / "api" / "ubp_platform" / "events" / "schema.html"
    assert 'id="Table"' in schema.read_text("utf-8")
