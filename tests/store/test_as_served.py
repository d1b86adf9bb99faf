"""At any instant online and offline give the same profile, whatever lands later."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.train import train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import LATER
from tests.shops import random_shop
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publication import Publication
from ubp_platform.store.retrieval import ProfileStore

PARTS, CLIENTS = 5, 40
STEPS = st.sampled_from(
    ["land", "encode", "encode earlier", "encode within a day", "refresh", "publish", "look up"]
)


def parts(seed: int) -> Iterator[dict[str, pd.DataFrame]]:
    """Cut the log of a shop into deliveries of some clients each, which overlap in time."""
    shop = random_shop(seed=seed, clients=CLIENTS, events=600)
    products = {"product_properties": shop.pop("product_properties")}
    rng = np.random.default_rng(seed)
    dealt = {
        name: (frame["client_id"] + rng.integers(2, size=len(frame))) % PARTS
        for name, frame in shop.items()
    }
    for number in range(PARTS):
        part = {name: frame[dealt[name] == number] for name, frame in shop.items()}
        changed = products["product_properties"].sample(5, random_state=number)
        yield (
            part | {"product_properties": changed.assign(price=number)}
            if number
            else {
                **part,
                **products,
            }
        )


def row_by_row(store: ProfileStore, times: list[datetime], **options: bool) -> list[bytes]:
    """Join each client at each time; return the profiles of each time as bytes."""
    clients = np.arange(CLIENTS)
    frames = [pd.DataFrame({"client_id": clients, "event_timestamp": time}) for time in times]
    joined = store.training_set(pd.concat(frames, ignore_index=True), **options)
    split = zip(np.split(joined.X, len(times)), np.split(joined.known, len(times)), strict=True)
    return [vectors.tobytes() + known.tobytes() for vectors, known in split]


def looked_up(store: ProfileStore) -> bytes:
    found = store.lookup_many(range(CLIENTS))
    vectors = np.stack([profile.vector for profile in found])
    return vectors.tobytes() + np.array([profile.known for profile in found]).tobytes()


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 99), steps=st.lists(STEPS, min_size=6, max_size=10))
def test_at_any_instant_online_and_offline_are_the_same(
    online_store: str, tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("walk")
    home, deliveries, seen = Home(directory / "home"), parts(seed), {}

    def land() -> None:
        if part := next(deliveries, None):
            ingest(home, str(deliver(directory / str(len(list(directory.iterdir()))), **part)))

    def look_up() -> None:
        found = looked_up(ProfileStore(home))
        seen[datetime.now(UTC)] = found

    land()
    train(home, ["handcrafted"])
    publish(home)
    earlier = get_version(home, "v1").snapshots[0].cutoff - pd.Timedelta("20d")
    do = {
        "land": land,
        "encode": lambda: encode(home),
        "refresh": lambda: refresh(home),
        "encode earlier": lambda: encode(home, [earlier]),
        "encode within a day": lambda: encode(home, [earlier + pd.Timedelta("7h13min")]),
        "publish": lambda: publish(home),
        "look up": look_up,
    }
    for step in ["look up", *steps, "publish", "look up"]:
        do[step]()
    store = ProfileStore(home)
    assert row_by_row(store, [*seen], as_served=True) == [*seen.values()]


def late(home: Home, directory: Path) -> None:
    """Land events of the time before FIT that come after all others."""
    shop = random_shop(seed=6, clients=CLIENTS, events=50)
    ingest(home, str(deliver(directory / "late", product_buy=shop["product_buy"])))


def test_late_events_make_a_new_revision_and_what_was_served_is_kept(
    home: Home, tmp_path: Path
) -> None:
    publish(home)
    store = ProfileStore(home)
    before, then = looked_up(store), datetime.now(UTC)
    late(home, tmp_path)
    cutoff = get_version(home, "v1").snapshots[0].cutoff
    encode(home, [cutoff])
    names = [path.name for path in sorted(get_version(home, "v1").directory.glob("*.parquet"))]
    assert [name.partition("Z")[2] for name in names] == ["-2.parquet", ".parquet"]
    # Readers are still served what was published; a restated training set knows better.
    assert looked_up(store) == before
    assert row_by_row(store, [then], as_served=True) == [before]
    restated = row_by_row(store, [then])
    assert restated != [before]
    publish(home)
    assert [looked_up(store)] == restated
    assert row_by_row(store, [then, datetime.now(UTC)], as_served=True) == [before, *restated]


def test_before_the_first_publish_nobody_is_known(home: Home) -> None:
    then = datetime.now(UTC)
    publish(home)
    rows = pd.DataFrame({"client_id": range(CLIENTS), "event_timestamp": then})
    served = ProfileStore(home).training_set(rows, as_served=True)
    assert not served.known.any()
    assert ProfileStore(home).training_set(rows).known.any()


@pytest.mark.parametrize("moment", ["before the switch", "after it"])
def test_a_publish_that_is_killed_is_recorded_if_it_was_seen(
    home: Home, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    publish(home)
    store, version = ProfileStore(home), get_version(home, "v1")
    encode(home, [LATER])
    before = datetime.now(UTC)
    announce, calls = OnlineStore.announce, []

    def killed(self: OnlineStore, name: str, publication: Publication) -> None:
        calls.append(name)
        if len(calls) == 2 and moment == "before the switch":
            raise KeyboardInterrupt
        announce(self, name, publication)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(OnlineStore, "announce", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(home)
    monkeypatch.undo()
    then, seen = datetime.now(UTC), looked_up(store)
    assert row_by_row(store, [then], as_served=True) == [seen]
    publish(home)
    assert row_by_row(store, [then], as_served=True) == [seen]
    assert (row_by_row(store, [before], as_served=True) == [seen]) == (moment != "after it")
    names = sorted(path.stem for path in (version.directory / "publishes").iterdir())
    assert names == (["p1", "p3"] if moment == "before the switch" else ["p1", "p2", "p3"])
