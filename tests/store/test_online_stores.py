"""Behaviour on every online store: SQLite, and Redis if a server is installed."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.encode import encode
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT, LAST, LATER
from tests.processes import die, exit_code
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import NotOnline, UBPError
from ubp_platform.home import Home
from ubp_platform.profile import newest
from ubp_platform.profile.listing import get_version
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.retrieval import Profile, ProfileStore
from ubp_platform.store.served import Served

pytestmark = pytest.mark.usefixtures("online_store")
UNKNOWN = 10**12


def snapshot(home: Home, cutoff=FIT, version: str = "v1") -> Snapshot:
    return Snapshot.read(get_version(home, version).snapshot_path(cutoff))


def write_snapshot(home: Home, changed: Snapshot, version: str = "v1") -> None:
    changed.write(get_version(home, version).snapshot_path(changed.cutoff))


def stacked(profiles: list[Profile]) -> bytes:
    return np.stack([profile.vector for profile in profiles]).tobytes()


def test_a_lookup_returns_the_bits_of_the_snapshot(home: Home, online_store: str) -> None:
    publish(home)
    store, expected = ProfileStore(home), snapshot(home)
    found = store.lookup_many(expected.client_ids)
    assert stacked(found) == expected.vectors.tobytes()
    assert {(profile.known, profile.cutoff, profile.version) for profile in found} == {
        (True, FIT, "v1")
    }
    # SQLite's log, as large as the profiles, is truncated.
    assert not any(file.stat().st_size for file in home.feast.glob("online.db-wal"))
    pointer = Served.read(home)
    assert pointer is not None
    assert pointer.online_store == status(home)["served"]["online_store"] == online_store


def test_many_clients_in_the_requested_order_also_unknown_and_repeated_ones(home: Home) -> None:
    publish(home)
    expected, store = snapshot(home), ProfileStore(home)
    some, other = expected.client_ids[[7, 2]].tolist()
    requested = [some, UNKNOWN, other, -5, some, 0]
    found = store.lookup_many(requested)
    assert [profile.client_id for profile in found] == requested
    assert [profile.known for profile in found] == [True, False, True, False, True, False]
    assert found[4].vector.tobytes() == expected.vectors[7].tobytes()
    for unknown in (found[1], store.lookup(UNKNOWN)):
        assert unknown.cutoff is None
        assert unknown.vector.tobytes() == store.version.mean.tobytes()
    assert store.lookup_many([]) == []


def test_a_newer_cutoff_replaces_the_older_also_in_an_open_store(home: Home) -> None:
    publish(home)
    store = ProfileStore(home)
    encode(home, [LATER])
    publish(home)
    expected = snapshot(home, LATER)
    found = store.lookup_many(expected.client_ids)
    assert stacked(found) == expected.vectors.tobytes()
    assert {profile.cutoff for profile in found} == {LATER}


def test_clients_missing_from_the_newer_snapshot_keep_their_profiles(home: Home) -> None:
    publish(home)
    older = snapshot(home)
    newer = replace(
        older, cutoff=LATER, client_ids=older.client_ids[1:], vectors=older.vectors[1:] + 1
    )
    write_snapshot(home, newer)
    publish(home)
    left, *others = ProfileStore(home).lookup_many(older.client_ids)
    assert (left.known, left.cutoff) == (True, FIT)
    assert left.vector.tobytes() == older.vectors[0].tobytes()
    assert {profile.cutoff for profile in others} == {LATER}


def test_profiles_changed_by_late_events_replace_those_of_the_same_cutoff(home: Home) -> None:
    publish(home)
    older = snapshot(home)
    write_snapshot(home, replace(older, vectors=older.vectors + 1))
    publish(home)
    found = ProfileStore(home).lookup(int(older.client_ids[3]))
    assert found.vector.tobytes() == (older.vectors[3] + 1).tobytes()


def test_versions_side_by_side(home: Home) -> None:
    publish(home)
    train(home, ["handcrafted"], LATER)
    client = int(snapshot(home).client_ids[0])
    with pytest.raises(UBPError, match=r"v2 is not online in .*: `ubp publish --profile-v"):
        ProfileStore(home, "v2").lookup(client)
    publish(home)
    assert ProfileStore(home, "v1").lookup(client).cutoff == FIT
    assert ProfileStore(home).lookup(client).cutoff == LATER


def test_a_moved_home_still_works(home: Home, tmp_path: Path) -> None:
    publish(home)
    moved = Home(home=home.root.rename(tmp_path / "sp ace [home] *'ü"))
    expected = snapshot(moved)
    found = ProfileStore(moved).lookup(int(expected.client_ids[0]))
    assert found.vector.tobytes() == expected.vectors[0].tobytes()


def test_homes_do_not_mix(trained_home: Home, tmp_path: Path) -> None:
    homes = [Home(home=shutil.copytree(trained_home.root, tmp_path / name)) for name in "ab"]
    older = snapshot(trained_home)
    write_snapshot(homes[1], replace(older, vectors=older.vectors + 1))
    for home in homes:
        publish(home)
    client = int(older.client_ids[0])
    for number, home in enumerate(homes):
        found = ProfileStore(home).lookup(client).vector
        assert found.tobytes() == (older.vectors[0] + np.float32(number)).tobytes()


def publish_and_die(home: Home) -> None:
    """Publish until two slices are written."""
    write, slices = OnlineStore.write, []

    def die_at_the_third_slice(self: OnlineStore, *of: Any) -> None:
        slices.append(of)
        if len(slices) == 3:
            die()
        write(self, *of)

    newest._SLICE = 16
    OnlineStore.write = die_at_the_third_slice  # type: ignore[method-assign]
    publish(home)


def test_kill_9_in_publish_leaves_the_previous_version_served_completely(home: Home) -> None:
    publish(home)
    expected = snapshot(home)
    train(home, ["handcrafted"], LATER)
    assert exit_code(publish_and_die, home) == -signal.SIGKILL
    store = ProfileStore(home)
    assert store.version.name == "v1"
    found = store.lookup_many(expected.client_ids)
    assert stacked(found) == expected.vectors.tobytes()
    publish(home)
    expected = snapshot(home, LATER, "v2")
    found = ProfileStore(home).lookup_many(expected.client_ids)
    assert stacked(found) == expected.vectors.tobytes()


def test_kill_9_in_a_republish_leaves_the_previous_cutoff_served_completely(home: Home) -> None:
    publish(home)
    encode(home, [LATER])
    assert exit_code(publish_and_die, home) == -signal.SIGKILL
    shots = {cutoff: snapshot(home, cutoff) for cutoff in (FIT, LATER)}
    found = ProfileStore(home).lookup_many(shots[FIT].client_ids)
    for profile in found:
        assert profile.cutoff is not None
        shot = shots[profile.cutoff]
        row = np.searchsorted(shot.client_ids, profile.client_id)
        assert profile.vector.tobytes() == shot.vectors[row].tobytes()
    assert {profile.cutoff for profile in found} == {FIT}
    publish(home)
    found = ProfileStore(home).lookup_many(shots[LATER].client_ids)
    assert {profile.cutoff for profile in found} == {LATER}


def test_a_store_that_lost_its_profiles_is_reported(
    home: Home, online_store: str, request: pytest.FixtureRequest
) -> None:
    publish(home)
    client = int(snapshot(home).client_ids[0])
    if online_store == "redis":
        request.getfixturevalue("redis").flushall()
    else:
        for file in home.feast.glob("online.db*"):
            file.unlink()
    with pytest.raises(UBPError, match=r"is not online in .* any more; is it the same store"):
        ProfileStore(home).lookup(client)
    publish(home)
    assert ProfileStore(home).lookup(client).known


def test_the_commands(home: Home, online_store: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = int(snapshot(home).client_ids[0])
    for command in (("publish",), ("profile", client), ("status",)):
        outcome = run_ubp(capsys, *command, "--home", home.root)
        assert (outcome.code, outcome.err) == (0, "")
    assert status(home)["online_store"] == online_store
    assert status(home)["next"] != "ubp publish"


def test_a_narrower_profile_is_a_prefix_offline_and_online(home: Home, online_store: str) -> None:
    publish(home)
    whole, short = ProfileStore(home), ProfileStore(home, width=5)
    assert (short.width, whole.width) == (5, whole.version.width)
    for client in (1, 2, 10**12):
        assert short.lookup(client).vector.tobytes() == whole.lookup(client).vector[:5].tobytes()
    rows = pd.DataFrame({"client_id": [3, 10**12, 1], "event_timestamp": FIT})
    ours, theirs = (store.training_set(rows).X for store in (short, whole))
    assert ours.shape == (3, 5)
    np.testing.assert_array_equal(ours, theirs[:, :5])


@pytest.mark.parametrize("width", [0, -1, 10_000])
def test_a_width_out_of_range_is_rejected(home: Home, width: int) -> None:
    with pytest.raises(UBPError, match=f"a width of {width} is not available: profile v1 has"):
        ProfileStore(home, width=width)


def test_a_reader_that_stays_open_sees_publishes_and_another_file(home: Home) -> None:
    publish(home)
    store = ProfileStore(home)
    assert store.lookup(7).cutoff == FIT
    encode(home, [LATER])
    publish(home)
    assert store.lookup(7).cutoff == LATER
    if files := [*home.feast.glob("online.db*")]:
        for file in files:
            file.unlink()
        with pytest.raises(NotOnline, match="is not online"):
            store.lookup(7)
    encode(home, [LAST])
    publish(home, everybody=True)
    assert store.lookup(7).cutoff == LAST
