"""A block of another package works in every command; a changed definition is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.encode import encode
from pipelines.publish import publish
from pipelines.train import train
from tests.blocks.test_new_block import BLOCK, FEATURES, HOURS, SEARCHES
from tests.packages import installed
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT, LAST, LATER
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.registry import block_class, block_names
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import versions
from ubp_platform.store.retrieval import ProfileStore

NAMES = {HOURS: "shop_blocks.hours:Hours", SEARCHES: "shop_blocks.searches:Searches"}


@pytest.fixture(autouse=True)
def package(tmp_path: Path) -> Iterator[None]:
    modules = {"hours": BLOCK, "searches": FEATURES}
    with installed(tmp_path / "packages", "shop_blocks", modules, NAMES):
        yield


def test_from_train_to_a_lookup(landed_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    result = train(landed_home, ["handcrafted", HOURS, SEARCHES], LAST)
    widths = {part.block: part.width for part in result.profile.parts}
    assert list(widths) == ["handcrafted", HOURS, SEARCHES]
    assert (widths[HOURS], widths[SEARCHES]) == (24, 2)
    publish(landed_home)
    store = ProfileStore(landed_home)
    assert store.lookup(1).vector.shape == (sum(widths.values()),)
    outcome = run_ubp(capsys, "blocks", "--home", landed_home.root)
    assert (outcome.code, outcome.err) == (0, "")
    assert HOURS in outcome.out
    refused = run_ubp(capsys, "train", "lightly", "--home", landed_home.root)
    assert refused.err.endswith(f"there are {', '.join(block_names())}\n")


def test_profiles_of_a_block_without_its_package_can_be_read(
    landed_home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    train(landed_home, ["handcrafted", HOURS], LAST)
    publish(landed_home)
    vector = ProfileStore(landed_home).lookup(1).vector
    (tmp_path / "packages" / "shop_blocks-1.0.dist-info" / "entry_points.txt").write_text("")
    from ubp_platform.blocks.registry import registered

    registered.cache_clear()
    np.testing.assert_array_equal(ProfileStore(landed_home).lookup(1).vector, vector)
    assert run_ubp(capsys, "status", "--home", landed_home.root).code == 0
    refused = run_ubp(capsys, "encode", "--cutoff", "2022-07-10", "--home", landed_home.root)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"no block is called '{HOURS}'" in refused.err


def state(home: Home) -> dict[str, bytes]:
    places = (home.blocks, home.snapshots, home.profiles)
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", ["handcrafted", SEARCHES])
def test_a_changed_definition_is_refused_until_reverted_or_fitted_again(
    name: str, landed_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(landed_home, [name], FIT)
    before, cls = state(landed_home), block_class(name)
    more = f"SELECT *, 1.5 AS one_more FROM ({cls.sql()}) ORDER BY client_id"
    with monkeypatch.context() as patch:
        patch.setattr(cls, "query", more)
        with pytest.raises(
            UBPError, match=f"v1 was fitted by another definition .* `ubp train {name}`"
        ):
            encode(landed_home, [LATER])
        assert state(landed_home) == before
        again = train(landed_home, [name], FIT)
        assert [fit.version for fit in again.fitted] == ["v2"]
        assert again.profile.width == versions(landed_home)[0].width + 1
        encode(landed_home, [LATER])
    # With the original code the first version works again, also at the refused cutoff.
    encode(landed_home, [LATER], "v1")
    assert {path: found for path, found in state(landed_home).items() if path in before} == before
    back = train(landed_home, [name], FIT)
    assert [fit.version for fit in back.reused] == ["v1"]


def test_quoted_text_is_part_of_the_definition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = set()
    for text in ("'a--b' AS n, 1", "'a--c' AS n, 2", "'a  b' AS n", "'a b' AS n", '"a--b"'):
        monkeypatch.setattr(Handcrafted, "query", f"SELECT client_id, {text}")
        found.add(Handcrafted.definition())
    assert len(found) == 5


def test_comments_and_whitespace_do_not_change_a_definition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Handcrafted.definition()
    sql = Handcrafted.sql()
    monkeypatch.setattr(Handcrafted, "query", "-- read me\n" + sql.replace("\n", " -- more\n   "))
    assert Handcrafted.definition() == before
    monkeypatch.setattr(Handcrafted, "query", sql.replace("day < 7", "day < 8", 1))
    assert Handcrafted.definition() != before


def test_fits_of_earlier_releases_still_work(
    landed_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also after a feature was added.
    monkeypatch.setattr(Handcrafted, "first_definition", Handcrafted.definition())
    train(landed_home, ["handcrafted", "lightfm"], FIT)
    profile = versions(landed_home)[0].snapshot_path(FIT).read_bytes()
    # They stored no checksum, no hash of the fit, no definition, no parameter `negatives`.
    for name in ("handcrafted", "lightfm"):
        path = landed_home.blocks / name / "v1" / "block.json"
        description = json.loads(path.read_text())
        path.with_name("identity").write_text(description["identity"])
        for added in ("checksum", "definition", "fit", "identity"):
            del description[added]
        if "negatives" in description["params"]:
            description["params"]["rivals"] = description["params"].pop("negatives")
        path.write_text(json.dumps(description))
    shutil.rmtree(landed_home.snapshots)
    versions(landed_home)[0].snapshot_path(FIT).unlink()
    again = train(landed_home, ["handcrafted", "lightfm"], FIT)
    assert {fit.name: fit.version for fit in again.reused} == dict.fromkeys(
        ("handcrafted", "lightfm"), "v1"
    )
    assert again.profile.name == "v1"
    assert len(again.profile.snapshot_path(FIT).read_bytes()) == len(profile)
    assert Catalog(landed_home).get("lightfm", "v1").load().negatives == 512


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT client_id, 'a' AS word FROM relevant_event",
            "the feature word must be a number, not",
        ),
        ("SELECT 1 AS n, client_id FROM relevant_event", "first column must be client_id, not"),
        ("SELECT client_id FROM relevant_event", "the query has no feature"),
        ("SELECT client_id, nothing FROM relevant_event", "the query cannot be run: Binder Error"),
        ("SELEKT", "the query cannot be run: Parser Error"),
        (
            "SELECT client_id, NULL::FLOAT AS nothing FROM relevant_search_query GROUP BY ALL",
            "the feature nothing is not a finite number for every client",
        ),
        ("SELECT client_id, 1 AS one FROM relevant_event", "must return each client once"),
    ],
)
def test_a_wrong_query_is_reported(
    query: str, message: str, landed_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_class(SEARCHES), "query", query)
    with pytest.raises(UBPError, match=f"^{SEARCHES}: .*{message}"):
        train(landed_home, [SEARCHES], FIT)


def test_existing_blocks_are_checked_before_others_are_fitted(
    landed_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(landed_home, ["handcrafted", HOURS], FIT)
    before = state(landed_home)
    more = f"SELECT *, 1.5 AS one_more FROM ({Handcrafted.sql()}) ORDER BY client_id"
    monkeypatch.setattr(Handcrafted, "query", more)
    with pytest.raises(UBPError, match="handcrafted/v1 was fitted by another definition"):
        train(landed_home, [SEARCHES], FIT)
    assert state(landed_home) == before
