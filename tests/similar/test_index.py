"""The index of a version: made, kept up to date, forgotten, damaged."""

import gc
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.align import align
from pipelines.doctor import examine
from pipelines.encode import encode
from pipelines.forget import forget
from pipelines.index import index
from pipelines.ingest import ingest
from pipelines.page.picture import drawn
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.train import train
from tests.homes import copied
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from tests.shops import random_shop
from ubp_platform.errors import BadRequest, DamagedFile, NotOnline, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.similar import vectors
from ubp_platform.similar.directory import SimilarDirectory
from ubp_platform.similar.searching import SimilarIndexes, State
from ubp_platform.similar.vectors import unit
from ubp_platform.store.retrieval import ProfileStore

BLOCKS = ["handcrafted", "counters"]
NEXT = FIT + timedelta(days=1)


def shop() -> dict[str, pd.DataFrame]:
    """Return a shop with text ids: quiet for a day after the cutoff, and busy later."""
    tables = random_shop(seed=3, clients=120)
    quiet = [one.replace(tzinfo=None) for one in (FIT, NEXT + timedelta(days=3))]
    for name, frame in tables.items():
        if "timestamp" in frame:
            during = frame["timestamp"].between(*quiet, inclusive="left")
            tables[name] = frame = frame[~during].copy()
        if "client_id" in frame:
            frame["client_id"] = frame["client_id"].map("c{:03}".format)
    tables["product_properties"]["category"] = tables["product_properties"]["category"].map(
        "Kind {}".format
    )
    return tables


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    directory = tmp_path_factory.mktemp("indexed")
    home = Home(directory / "home")
    ingest(home, str(deliver(directory / "in", **shop())))
    train(home, BLOCKS, FIT)
    publish(home)
    index(home)
    return home


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return copied(made, tmp_path)


def state(home: Home, version: str | None = None) -> State:
    return SimilarIndexes(get_version(home, version)).state()


def everybody(home: Home) -> list[str]:
    facts = state(home).facts
    return [str(one) for one in facts.ids(np.flatnonzero(facts.present))]


def by_hand(home: Home, client: str, k: int, by: tuple[str, ...] = ()) -> dict[str, float]:
    store = ProfileStore(home)
    others = [one for one in everybody(home) if one != client]
    columns = store.version.columns(by)
    rows = unit(np.stack([one.vector[columns] for one in store.lookup_many(others)]))
    cosines = rows @ unit(store.lookup(client).vector[None][:, columns])[0]
    best = np.argsort(-cosines, kind="stable")[:k]
    return {others[row]: float(cosines[row]) for row in best}


def found(home: Home, client: str, k: int = 5, **options: object) -> dict[str, float]:
    neighbours = ProfileStore(home).similar(client, k, **options).neighbours  # type: ignore[arg-type]
    return {str(one.client.client_id): one.similarity for one in neighbours}


def test_the_nearest_profiles_are_found(made: Home) -> None:
    for client in everybody(made)[::7]:
        expected = by_hand(made, client, 5)
        ours = found(made, client)
        assert list(ours) == list(expected)
        np.testing.assert_allclose([*ours.values()], [*expected.values()], atol=1e-6)


def test_an_approximate_index_finds_nearly_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(SimilarDirectory(get_version(home, None)).path)
    monkeypatch.setattr(vectors, "EXACT", 10)
    monkeypatch.setattr(vectors, "_SAMPLED", 4)
    index(home)
    assert not state(home).is_exact([])
    expected = [by_hand(home, client, 5) for client in everybody(home)[::5]]
    ours = [found(home, client) for client in everybody(home)[::5]]
    shared = [len(a.keys() & b.keys()) for a, b in zip(ours, expected, strict=True)]
    assert np.mean(shared) > 4.7


def test_by_blocks_and_of_segments_and_vectors(home: Home) -> None:
    with pytest.raises(BadRequest, match="`ubp index --by counters` makes one"):
        found(home, "c003", by=["counters"])
    index(home, by=["counters"])
    assert list(found(home, "c003", by=["counters"])) == list(
        by_hand(home, "c003", 5, ("counters",))
    )
    store = ProfileStore(home)
    segment = store.similar(["c003", "c005"], 4)
    assert not {"c003", "c005"} & {one.client.client_id for one in segment.neighbours}
    middle = unit(np.stack([one.vector for one in store.lookup_many(["c003", "c005"])])).mean(0)
    of_vector = store.similar(middle, 6)
    named = [one.client.client_id for one in of_vector.neighbours]
    rest = [one for one in named if one not in ("c003", "c005")]
    assert [one.client.client_id for one in segment.neighbours] == rest[:4]


def test_what_is_told_knows_nothing_of_the_time_after_the_cutoff(made: Home) -> None:
    tables, end = shop(), FIT.replace(tzinfo=None)
    buys = tables["product_buy"]
    buys = buys[buys["timestamp"] < end]
    events = pd.concat(frame for frame in tables.values() if "timestamp" in frame)
    events = events[events["timestamp"] < end]
    facts = state(made).facts
    for client, rows in list(events.groupby("client_id"))[::9]:
        slot = facts.slot(str(client))
        assert slot is not None
        told = facts.client(slot)
        assert told.events == len(rows)
        assert told.last_event == rows["timestamp"].max().tz_localize("UTC")
        bought = tables["product_buy"]
        bought = bought[
            (bought["client_id"] == client) & bought["timestamp"].lt(FIT.replace(tzinfo=None))
        ]
        assert facts.features_of(slot)["buy_total"] == len(bought)
        skus = rows.dropna(subset=["sku"]).merge(tables["product_properties"], on="sku")
        most = skus["category"].value_counts()
        assert most[told.categories[0]] == most.max()


def test_an_index_is_updated_as_it_would_be_made_anew(home: Home, tmp_path: Path) -> None:
    index(home, by=["counters"])
    when = pd.Timestamp(FIT.replace(tzinfo=None))
    late = pd.DataFrame(
        {
            "client_id": ["c003", "new-1"],
            "timestamp": [when + pd.Timedelta("1h")] * 2,
            "sku": [1, 2],
        }
    )
    ingest(home, str(deliver(tmp_path / "more", product_buy=late)), complete_until=NEXT)
    refresh(home, cutoff=NEXT)
    publish(home)
    assert index(home).written < 40
    updated, answers = state(home), found(home, "new-1")
    counters = found(home, "c003", by=["counters"])
    shutil.rmtree(SimilarDirectory(get_version(home, None)).path)
    index(home, by=["counters"])
    fresh = state(home)
    assert {*map(str, updated.facts.ids(np.arange(len(updated.facts))))} == {*everybody(home)}
    assert found(home, "new-1") == answers
    assert found(home, "c003", by=["counters"]) == counters
    # Not of those alone who have changed: days and windows end at the cutoff for everybody.
    for client in everybody(home):
        old, new = (
            (one.facts.client(slot), one.facts.features_of(slot))
            for one in (updated, fresh)
            if (slot := one.facts.slot(client)) is not None
        )
        assert old == new


def test_up_to_date_is_not_made_again(home: Home) -> None:
    path = SimilarDirectory(get_version(home, None)).description
    before = path.read_bytes()
    assert index(home).written == 0
    assert path.read_bytes() == before
    publish(home, everybody=True)
    assert index(home).written == 0
    assert state(home).description.publish == "p2"


def test_nothing_is_left_of_who_is_forgotten(home: Home) -> None:
    index(home, by=["counters"])
    vector = unit(ProfileStore(home).lookup("c007").vector[None])[0]
    forget(home, ["c007"])
    assert "c007" not in everybody(home)
    directory = SimilarDirectory(get_version(home, None))
    for path in directory.path.iterdir():
        assert b"c007" not in path.read_bytes()
        assert vector[:8].tobytes() not in path.read_bytes()
    assert "c007" not in found(home, "c003", 60)
    with pytest.raises(BadRequest, match="client 'c007' has no profile"):
        found(home, "c007")
    assert index(home).written == 0
    assert not examine(home)


@pytest.mark.parametrize("first", [True, False])
def test_what_a_killed_run_has_left_is_forgotten_too(
    home: Home, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    directory = SimilarDirectory(get_version(home, None))
    if first:
        shutil.rmtree(directory.path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SimilarDirectory, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        index(home, by=["counters"])
    monkeypatch.undo()
    forget(home, ["c007"])
    for path in directory.path.iterdir():
        assert b"c007" not in path.read_bytes()
    # Also where the index does not know the client.
    (directory.path / "facts-99.arrow").write_bytes(b"c008")
    forget(home, ["c007"])
    assert not (directory.path / "facts-99.arrow").exists()


def test_a_replaced_state_is_let_go(home: Home) -> None:
    """Caches of pictures and filters do not keep its files mapped."""
    store = ProfileStore(home)
    store.similar("c003", filters=["events>=1"])
    drawn(store.similar_search.indexes.state(), "events")
    forget(home, ["c007"])
    store.similar("c003", filters=["events>=1"])
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    mine = str(SimilarDirectory(store.version).path)
    assert not [line for line in maps.splitlines() if mine in line and "(deleted)" in line]


def test_an_open_store_follows(home: Home) -> None:
    store = ProfileStore(home)
    assert store.similar("c003", 3).by == []
    with pytest.raises(BadRequest, match="no index by counters"):
        store.similar("c003", by=["counters"])
    index(home, by=["counters"])
    assert store.similar("c003", by=["counters"]).by == ["counters"]


def test_damage_is_seen_and_mended(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    index(home, by=["counters"])
    directory = SimilarDirectory(get_version(home, None))
    described = state(home).description
    for name in ("similar.json", *(file.name.split("-")[0] for file in described.files)):
        for damage in ("a bit", "a directory", "gone"):
            (path,) = directory.path.glob(f"{name}*")
            whole = path.read_bytes()
            path.unlink()
            if damage == "a bit":
                # Not in a seal, which is none with another letter: older files have none.
                at = len(whole) // 2
                path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            elif damage == "a directory":
                path.mkdir()
            if (name, damage) != ("similar.json", "gone"):  # there is none, then
                with pytest.raises(DamagedFile, match="remove "):
                    found(home, "c003")
                assert examine(home)
            assert run_ubp(capsys, "profile", "c003", "--home", str(home.root)).code == 0
            if (name, damage) == ("similar.json", "a directory"):
                path.rmdir()
            index(home)
            assert len(found(home, "c003")) == 5
            if name == "similar.json":
                index(home, by=["counters"])
            # What there was to be kept is kept.
            assert len(found(home, "c003", by=["counters"])) == 5
    assert state(home).description.plane.sha256 == described.plane.sha256


def test_a_run_that_was_killed_leaves_the_state_before(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found(home, "c003")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SimilarDirectory, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        index(home, by=["counters"])
    monkeypatch.undo()
    assert found(home, "c003") == before
    index(home, by=["counters"])
    names = {path.name for path in SimilarDirectory(get_version(home, None)).path.iterdir()}
    described = state(home).description
    assert names == {"similar.json", *(file.name for file in described.files)}


def test_filters_and_mistakes(home: Home) -> None:
    facts = state(home).facts
    bought = found(home, "c003", 60, filters=["buy_total>=5", "category!=Kind 1"])
    assert bought
    for client in bought:
        slot = facts.slot(client)
        assert slot is not None
        assert facts.features_of(slot)["buy_total"] >= 5
        assert "Kind 1" not in facts.client(slot).categories
    store = ProfileStore(home)
    for said, to, options in (
        ("has no profile", "c999", {}),
        ("has no block 'nothing'", "c003", {"by": ["nothing"]}),
        ("ask for 1 to 1,000", "c003", {"k": 0}),
        ("nobody is named", [], {}),
        ("the vector has 3 numbers", np.ones(3), {}),
        ("finite numbers", np.full(store.version.width, np.nan), {}),
        ("not zeros alone", np.zeros(store.version.width), {}),
        ("is no condition", "c003", {"filters": ["?"]}),
    ):
        with pytest.raises(BadRequest, match=said):
            store.similar(to, **options)  # type: ignore[arg-type]
    with pytest.raises(UBPError, match="text, not 3"):
        store.similar(3)


def test_without_an_index(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(SimilarDirectory(get_version(home, None)).path)
    with pytest.raises(NotOnline, match="`ubp index --profile-version v1` makes one"):
        found(home, "c003")
    assert run_ubp(capsys, "profile", "c003", "--home", str(home.root)).code == 0


def test_an_aligned_version_has_an_index_of_its_own(home: Home) -> None:
    train(home, BLOCKS, NEXT)
    align(home, "v1", "v2")
    encode(home, [NEXT], "v2")
    publish(home, "v2")
    with pytest.raises(UBPError, match="no index of similar clients"):
        ProfileStore(home, "v2@v1").similar("c003")
    index(home, "v2@v1")
    assert len(ProfileStore(home, "v2@v1").similar("c003", 3).neighbours) == 3


def test_a_new_version_has_the_indexes_of_the_last_one(home: Home) -> None:
    index(home, by=["counters"])
    train(home, ["counters"], NEXT)
    publish(home)
    index(home)
    assert len(found(home, "c003", by=["counters"])) == 5


def test_commands(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--home", str(home.root))
    run = run_ubp(capsys, "similar", "c003", "-k", "3", *where)
    assert run.code == 0
    assert len([line for line in run.out.splitlines() if " 2022-0" in line]) == 3
    assert "of 3: category Kind" in run.out
    run = run_ubp(capsys, "similar", "c003", "c999", *where)
    assert run.code == 2
    assert "client 'c999' has no profile" in run.err
    run = run_ubp(capsys, "similar", "c003", "--filter", "buy_total>1000", *where)
    assert "Nobody meets these conditions" in run.out
    run = run_ubp(capsys, "index", "--by", "counters", *where)
    assert "Also by counters" in run.out
    run = run_ubp(capsys, "index", "--by", "counter", *where)
    assert run.code == 2
    run = run_ubp(capsys, "profile", "c003", *where)
    assert "Most unusual" in run.out
    assert "Similar clients: c0" in run.out
    run = run_ubp(capsys, "publish", *where)
    assert "Similar clients: index of" in run.out


def test_what_is_told_knows_no_more_than_the_profiles(home: Home, tmp_path: Path) -> None:
    """An event that was delivered after the profiles were made is in neither."""
    before = state(home).facts
    late = pd.DataFrame({"client_id": ["c003"], "timestamp": ["2022-06-30 23:00"], "sku": [1]})
    ingest(home, str(deliver(tmp_path / "late", product_buy=late)))
    shutil.rmtree(SimilarDirectory(get_version(home, None)).path)
    index(home)
    after = state(home).facts
    for client in everybody(home):
        old, new = (one.slot(client) or 0 for one in (before, after))
        assert before.client(old) == after.client(new)
        assert before.features_of(old) == after.features_of(new)
