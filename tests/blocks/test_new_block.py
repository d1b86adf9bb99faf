"""The examples of docs/how-to/new-block.md work: its blocks obey the contract."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.blocks.contract import BlockContract
from tests.packages import installed
from ubp_platform.blocks.registry import GROUP, REGISTRY, block_class, block_names, matching
from ubp_platform.errors import UBPError

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "new-block.md").read_text("utf-8")


def documented(language: str) -> list[str]:
    """Return the examples of the page, renamed so that they clash with no real block."""
    examples = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    renamed = r'("|^)(hours|searches)\b(?=")|^(hours)\b'
    return [
        re.sub(
            renamed,
            lambda found: f"{found[1] or ''}documented_{found[2] or found[3]}",
            text,
            flags=re.M,
        )
        for text in examples
    ]


BLOCK, LINE, TEST, FEATURES = documented("python")
(TOML,) = documented("toml")
HOURS, SEARCHES = "documented_hours", "documented_searches"


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The blocks of the page as an installed package."""
    blocks = tomllib.loads(TOML)["project"]["entry-points"][GROUP]
    blocks = {**blocks, SEARCHES: "my_package.searches:Searches"}
    modules = {"hours": BLOCK, "searches": FEATURES}
    with installed(tmp_path_factory.mktemp("packages") / "new", "my_package", modules, blocks):
        yield


exec(TEST)


class TestSearches(BlockContract):
    block_name = SEARCHES
    learned: ClassVar[bool] = False


def test_blocks_of_packages_follow_the_built_in_ones() -> None:
    assert block_names() == (*REGISTRY, HOURS, SEARCHES)
    assert matching(["*_hours", "handcrafted"]) == ["handcrafted", HOURS]
    assert block_class(HOURS)(smoothing=2).smoothing == 2.0


def test_the_line_of_the_page_has_the_form_of_the_registry() -> None:
    (name, path_to_class), *others = eval("{" + LINE + "}").items()
    assert not others
    for known, path in {**REGISTRY, name: path_to_class}.items():
        module, _, attribute = path.partition(":")
        assert known.isidentifier() and attribute.isidentifier()
        assert module.startswith("ubp_platform.blocks.")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (
            {HOURS: "other.it:Hours"},
            "packages (my_package and other|other and my_package) both register a block",
        ),
        ({"lightfm": "other.it:Hours"}, "packages ubp-platform and other both register a block"),
        ({"LightFM": "other.it:Hours"}, "packages ubp-platform and other both register a block"),
        (
            {"my-hours": "other.it:Hours"},
            "other registers a block 'my-hours': a name consists of letters",
        ),
        ({"profile_v1": "other.it:Hours"}, "a block 'profile_v1': .* not begin with profile_"),
    ],
)
def test_invalid_names_are_reported(blocks: dict[str, str], message: str, tmp_path: Path) -> None:
    with (
        installed(tmp_path / "other", "other", {"it": BLOCK}, blocks),
        pytest.raises(UBPError, match=message),
    ):
        block_names()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nowhere", r"late \(other.it:Late\) cannot be loaded: ModuleNotFoundError: No"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero; uninstall its package"),
        ("", "cannot be loaded: AttributeError: .* or `ubp train --skip late`"),
        (
            "Late = 3",
            "other.it:Late is registered as the block late, but is not a Block of that name",
        ),
        (BLOCK.replace("class Hours", "class Late"), "is not a Block of that name"),
        ("import sys; sys.exit(3)", "cannot be loaded: SystemExit: 3; uninstall its package"),
        (
            BLOCK.replace("class Hours", "class Late")
            .replace(HOURS, "late")
            .replace("needs = EVENT_TYPES", 'needs = "page_visit"'),
            "needs must be a tuple of event types, of product_buy, .* it is 'page_visit'",
        ),
    ],
)
def test_a_package_that_cannot_be_loaded_is_reported(
    source: str, message: str, tmp_path: Path
) -> None:
    with installed(tmp_path / "other", "other", {"it": source}, {"late": "other.it:Late"}):
        assert "late" in block_names()
        assert block_class("handcrafted")
        with pytest.raises(UBPError, match=message):
            block_class("late")
