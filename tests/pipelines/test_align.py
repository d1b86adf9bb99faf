"""A downstream model of an older version goes on with a newer one: `ubp align`, locks, tags."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.align import align
from pipelines.audit import audit
from pipelines.compare import compare, comparisons
from pipelines.doctor import examine
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.prune import plan, prune
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import train
from pipelines.versions import rollback, tag
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LATER
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.locks import alone
from ubp_platform.profile.listing import get_version, newest_version
from ubp_platform.store.feature_store import write_configuration, write_registry
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.store.served import Served

LEARNED = "ials_categories"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with v1, v2 of another seed and later events, and v2@v1, all online."""
    directory = tmp_path_factory.mktemp("aligned")
    home = Home(directory / "home")
    ingest(home, str(deliver(directory / "in", **random_shop(seed=5, clients=150, events=800))))
    train(home, ["handcrafted", "counters", LEARNED], FIT)
    encode(home, [LATER])
    publish(home)
    train(home, ["counters", LEARNED], LATER, seed=1)
    align(home, "v1")
    publish(home)
    return home


@pytest.fixture
def home(aligned: Home, tmp_path: Path) -> Home:
    home = Home(shutil.copytree(aligned.root, tmp_path / "home"))
    write_configuration(home)  # with the paths of the copy
    write_registry(home, Served.read(home).publishes)
    return home


def snapshot(home: Home, version: str) -> Snapshot:
    return Snapshot.read(get_version(home, version).snapshot_path(LATER))


def test_the_mapped_version_has_the_columns_of_the_old_one(aligned: Home) -> None:
    old, new, mapped = (get_version(aligned, name) for name in ("v1", "v2", "v2@v1"))
    assert mapped.widths == old.widths
    about = mapped.description.aligned
    methods = {one.block: one.method for one in about.blocks}
    assert methods["handcrafted"] == methods["counters"] == "kept"
    assert methods[LEARNED] in ("rotation", "ridge")
    assert about.scored_at < about.cutoff == LATER
    # What learns nothing is the same number for number; what was refitted is near, and was not.
    before, after, raw = (snapshot(aligned, name) for name in ("v1", "v2@v1", "v2"))
    place = {part.block: slice(part.start, part.start + part.width) for part in old.parts}
    for name in ("handcrafted", "counters"):
        ours, theirs = (one.vectors[:, place[name]] for one in (after, before))
        assert ours.tobytes() == theirs.tobytes()
    truth = before.vectors[:, place[LEARNED]]
    spread = ((truth - truth.mean(axis=0)) ** 2).sum()
    assert ((after.vectors[:, place[LEARNED]] - truth) ** 2).sum() < 0.3 * spread
    assert ((raw.vectors[:, place[LEARNED]] - truth) ** 2).sum() > 0.5 * spread
    assert new.source is None
    assert mapped.source.name == "v2"


def test_it_is_served_and_joined_beside_the_new_version(aligned: Home) -> None:
    assert newest_version(aligned).name == "v2"
    assert ProfileStore(aligned).version.name == "v2"
    store, written = ProfileStore(aligned, "v2@v1"), snapshot(aligned, "v2@v1")
    clients = written.client_ids.tolist()
    online = np.stack([one.vector for one in store.lookup_many(clients)])
    assert online.tobytes() == written.vectors.tobytes()
    rows = pd.DataFrame({"client_id": clients, "event_timestamp": LATER})
    assert store.training_set(rows).X.tobytes() == written.vectors.tobytes()
    stranger = store.lookup(10**9)
    np.testing.assert_array_equal(stranger.vector, get_version(aligned, "v1").mean)
    assert status(aligned)["next"] == "ubp refresh && ubp publish"
    assert examine(aligned) == []


def test_encode_and_publish_of_the_new_version_write_it_too(home: Home) -> None:
    later = LATER + pd.Timedelta("5d")
    _, encoded = encode(home, [later])
    assert [one.version.name for one in encoded] == ["v2", "v2@v1"]
    publish(home)
    assert ProfileStore(home, "v2@v1").publication().cutoff == later
    publish(home, "v2@v1")  # as the default of readers who name no version
    assert ProfileStore(home).version.name == "v2@v1"
    assert audit(home).differences == []
    assert status(home)["served"]["version"] == "v2@v1"


def test_the_same_again_is_the_same(home: Home) -> None:
    before = (home.profiles / "v2@v1" / "profile.json").read_bytes()
    align(home, "v1", "v2")
    assert (home.profiles / "v2@v1" / "profile.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["v2", "--to", "v2"], "profile v2 is in its own space"),
        (["v2@v1", "--to", "v1"], "profile v2@v1 is itself mapped from another one"),
        (["v1", "--to", "v2@v1"], "profile v2@v1 is itself mapped from another one"),
        (["v2", "--to", "v9"], "no profile version is called 'v9'; there are: v1, v2, v2@v1"),
        ([], "Missing option '--to'"),
    ],
)
def test_what_cannot_be_aligned_is_refused(
    aligned: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    outcome = run_ubp(capsys, "align", *arguments, "--home", aligned.root)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_too_few_clients_show_no_map(home: Home, tmp_path: Path) -> None:
    small = Home(tmp_path / "small")
    ingest(small, str(deliver(tmp_path / "in", **random_shop())))
    for seed in (0, 1):
        train(small, [LEARNED], FIT, seed=seed)
    with pytest.raises(UBPError, match="only 60 clients have a profile"):
        align(small, "v1")
    assert [path.name for path in small.profiles.iterdir()] == ["v1", "v2"]


def test_the_table_says_how_well_it_fits(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_ubp(capsys, "align", "--to", "v1", "--home", home.root).out
    for said in ("computed as before", "AUROC of models fitted on v1", "recovered"):
        assert said in shown
    assert "Next ubp publish --profile-version v2\n" in shown


def test_prune_keeps_what_a_mapped_version_needs(home: Home) -> None:
    compare(home, "v1", "v2@v1")
    compare(home, "v2", "v2@v1")
    with alone(home):
        prune(home, plan(home, keep=1))
    assert sorted(path.name for path in home.profiles.glob("v*")) == ["v2", "v2@v1"]
    assert [one.a.version for one in comparisons(home)] == ["v2"]
    assert len([*home.comparisons.iterdir()]) == 2  # with its picture
    assert examine(home) == []
    encode(home, [LATER + pd.Timedelta("5d")])
    publish(home)


def test_a_tag_names_a_version_and_keeps_it(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def ubp(*arguments: str) -> str:
        outcome = run_ubp(capsys, *arguments, "--home", home.root)
        return outcome.out + outcome.err

    assert ubp("tag", "v1", "production") == "production: v1\n"
    assert ProfileStore(home, "production").version.name == "v1"
    assert "production: v1" in ubp("tag")
    with alone(home):
        assert not any("profiles/v1" in one.what for one in plan(home, keep=1))
    assert "v1 until now" in ubp("tag", "v2", "production")
    assert ubp("tag", "--remove", "production") == ""
    assert "there is no tag 'production'" in ubp("tag", "--remove", "production")
    assert "cannot be a tag" in ubp("tag", "v1", "v2")
    assert "how is v1 to be called" in ubp("tag", "v1")
    assert "no profile version is called 'v7'" in ubp("tag", "v7", "production")


def test_an_earlier_version_is_served_again_without_writing_a_profile(home: Home) -> None:
    before = ProfileStore(home, "v1").publication()
    tag(home, "v1", "good")
    served = rollback(home, "good")
    assert (served.version, served.clients) == ("v1", before.clients)
    store = ProfileStore(home)
    assert store.version.name == "v1"
    assert store.publication() == before
    assert audit(home).differences == []
    assert rollback(home, "v2").version == "v2"


def test_after_a_rollback_nothing_seems_to_have_come_late(home: Home) -> None:
    rollback(home, "v1")
    served = status(home)["served"]
    assert (served["version"], served["late_events"], served["outdated"]) == ("v1", False, False)


def test_damaged_tags_are_named_and_hinder_nothing_else(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    tag(home, "v1", "production")
    path = home.profiles / "tags.json"
    path.write_text(path.read_text().replace("v1", "v2"))
    failed = run_ubp(capsys, "encode", "--profile-version", "production", "--home", home.root)
    assert (failed.code, len(failed.err.splitlines())) == (2, 1)
    assert f"{path} is damaged: restore it" in failed.err
    assert ProfileStore(home, "v1").lookup(5).known
    assert any(str(path) in finding.problem for finding in examine(home))
    with pytest.raises(UBPError, match=r"tags.json is damaged"):
        plan(home, keep=1)  # it would remove what is tagged


def test_a_damaged_mapped_version_hinders_no_other(home: Home) -> None:
    path = home.profiles / "v2@v1" / "profile.json"
    path.write_text(path.read_text().replace("ridge", "rigde").replace("rotation", "rotatino"))
    assert [one["version"] for one in status(home)["profiles"]] == ["v1", "v2"]
    assert any(str(path) in one for one in status(home)["damaged"])
    with pytest.warns(UserWarning, match=r"v2@v1/profile.json is damaged"):
        encode(home, [LATER])
    assert ProfileStore(home, "v2").lookup(5).known
    with pytest.raises(UBPError, match="a profile version is damaged: see `ubp doctor`"):
        plan(home, keep=1)
    with pytest.raises(DamagedFile, match=r"remove .*v2@v1; `ubp align v2 --to v1` makes it again"):
        ProfileStore(home, "v2@v1")
    shutil.rmtree(path.parent)
    align(home, "v1", "v2")
    assert examine(home) == []


def test_what_is_not_online_cannot_be_rolled_back_to(home: Home) -> None:
    train(home, [LEARNED], LATER, seed=7)
    with pytest.raises(UBPError, match="profile v3 is not online; there are: v1, v2, v2@v1"):
        rollback(home, "v3")


def test_a_lock_opens_exactly_the_profile_of_the_training_set(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.DataFrame({"client_id": [1, 2], "event_timestamp": LATER})
    rows.to_parquet(tmp_path / "rows.parquet")
    out = tmp_path / "training.parquet"
    command = ["training-set", tmp_path / "rows.parquet", out, "--profile-version", "v1"]
    outcome = run_ubp(capsys, *command, "--home", home.root)
    lock = tmp_path / "training.profile.lock"
    assert str(lock) in outcome.out
    written = json.loads(lock.read_text())
    v1 = get_version(home, "v1")
    assert (written["version"], len(written["columns"])) == ("v1", v1.width)
    assert written["columns"][v1.parts[0].width - 1].startswith(f"{v1.parts[0].block}.")
    # The default has moved on; the lock has not.
    assert ProfileStore(home).version.name == "v2"
    assert ProfileStore.from_lock(lock, home).version.name == "v1"
    assert ProfileStore.from_lock(lock, home, "v2@v1").version.name == "v2@v1"
    with pytest.raises(
        UBPError, match="trained on profile v1, and v2 is in another space: `ubp al"
    ):
        ProfileStore.from_lock(lock, home, "v2")
    narrow = tmp_path / "narrow.profile.lock"
    ProfileStore(home, "v1", width=5).lock(narrow)
    assert ProfileStore.from_lock(narrow, home).lookup(1).vector.shape == (5,)


def test_a_lock_refuses_another_profile_of_the_same_name(home: Home, tmp_path: Path) -> None:
    lock = tmp_path / "model.profile.lock"
    ProfileStore(home, "v1").lock(lock)
    other = Home(tmp_path / "other")
    ingest(other, str(deliver(tmp_path / "in", **random_shop())))
    train(other, ["counters"], FIT)
    with pytest.raises(UBPError, match="is another profile v1 than the one locked"):
        ProfileStore.from_lock(lock, other)
    with pytest.raises(UBPError, match=r"no such file: .*none.lock"):
        ProfileStore.from_lock(tmp_path / "none.lock", home)
    lock.write_text(lock.read_text().replace('"v1"', '"v2"'))
    with pytest.raises(UBPError, match="is damaged"):
        ProfileStore.from_lock(lock, home)
