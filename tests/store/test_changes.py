"""A publish writes what has changed, and readers see all of it or nothing."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipelines.doctor import examine
from pipelines.ingest import ingest
from pipelines.prune import plan, prune
from pipelines.publish import publish
from pipelines.refresh import refresh
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from ubp_platform.home import Home
from ubp_platform.locks import alone
from ubp_platform.profile.listing import get_version
from ubp_platform.store.objects import profile_view
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publication import Publication
from ubp_platform.store.retrieval import ProfileStore

CLIENTS = range(1, 90)
ACTIVE = [3, 17, 41]


def land(home: Home, directory: Path, number: int, clients: list[int]) -> None:
    """Land purchases of some clients from before the cutoff."""
    buys = pd.DataFrame(
        {
            "client_id": clients,
            "timestamp": pd.Timestamp("2022-06-20") + pd.Timedelta(minutes=number),
            "sku": 1,
        }
    )
    ingest(home, str(deliver(directory / str(number), product_buy=buys)))


@pytest.fixture
def served(home: Home, tmp_path: Path, online_store: str) -> Home:
    """A home that is served, in which some clients have new profiles since."""
    publish(home)
    land(home, tmp_path, 1, ACTIVE)
    refresh(home, cutoff=FIT)
    return home


def looked_up(home: Home) -> bytes:
    return b"".join(one.vector.tobytes() for one in ProfileStore(home).lookup_many(CLIENTS))


def joined(home: Home) -> bytes:
    rows = pd.DataFrame({"client_id": CLIENTS, "event_timestamp": datetime.now(UTC)})
    return ProfileStore(home).training_set(rows).X.tobytes()


def state(home: Home) -> Publication:
    found = OnlineStore(home).publication("v1")
    assert found
    return found


class Writes:
    """Counts the clients that are written, and fails at a call, if one is given."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.clients, self.calls, self._fail_at = 0, 0, fail_at
        self._write = OnlineStore.write

    def __enter__(self) -> "Writes":
        self._patch = mock.patch.object(OnlineStore, "write", self.write(self._write))
        self._patch.__enter__()
        return self

    def write(self, real: Any) -> Any:
        def write(store: OnlineStore, view: Any, client_ids: Any, *others: Any) -> None:
            self.calls += 1
            if self.calls == self._fail_at:
                raise KeyboardInterrupt
            self.clients += len(client_ids)
            real(store, view, client_ids, *others)

        return write

    def __exit__(self, *error: object) -> None:
        self._patch.__exit__(None, None, None)


def test_only_changed_profiles_are_written(served: Home) -> None:
    before = looked_up(served)
    with Writes() as written:
        publish(served)
    # Into a view of their own, and then into that of all.
    assert written.clients == 2 * len(ACTIVE)
    after = looked_up(served)
    assert after == joined(served) != before
    now = state(served)
    assert (now.base, now.folded, now.views, now.clients) == ("p1", True, ["p1"], 80)
    # Programs that know Feast alone read the view of all.
    view = profile_view(get_version(served, "v1"), False, "p1")
    plain = [*OnlineStore(served).read(view, CLIENTS[:80])]
    assert b"".join(one.vector.tobytes() for one in plain if one) == after[: len(after) * 80 // 89]
    assert examine(served) == []


def test_one_change_follows_another(served: Home, tmp_path: Path) -> None:
    for number in (2, 3):
        publish(served)
        land(served, tmp_path, number, [number, 1000 + number])
        refresh(served, cutoff=FIT)
    with Writes() as written:
        publish(served)
    assert written.clients == 4
    assert state(served).clients == 82
    assert ProfileStore(served).lookup(1003).known
    assert looked_up(served) == joined(served)
    with alone(served):
        prune(served, plan(served, keep=1))
    assert looked_up(served) == joined(served)
    assert examine(served) == []
    with Writes() as written:  # nothing has changed: all is written, which also repairs
        publish(served)
    assert written.clients == 82
    assert looked_up(served) == joined(served)


@pytest.mark.parametrize("call", [1, 2])
def test_a_publish_of_changes_that_is_killed_shows_all_of_them_or_none(
    served: Home, call: int
) -> None:
    before, after = looked_up(served), joined(served)
    with Writes(fail_at=call), pytest.raises(KeyboardInterrupt):
        publish(served)
    assert looked_up(served) == (before if call == 1 else after)
    publish(served)
    assert looked_up(served) == after
    assert examine(served) == []
    rows = pd.DataFrame({"client_id": CLIENTS, "event_timestamp": datetime.now(UTC)})
    as_served = ProfileStore(served).training_set(rows, as_served=True)
    assert as_served.X.tobytes() == after


@pytest.mark.parametrize("first", [1, 60])
def test_where_the_store_has_lost_something_all_is_written(served: Home, first: int) -> None:
    """Also if only clients at the end are missing (Redis; SQLite loses the table)."""
    store = OnlineStore(served)
    view = profile_view(get_version(served, "v1"), False, "p1")
    store.drop(view, [list(CLIENTS)[first - 1 :]])
    store.create(view)
    with Writes() as written:
        publish(served)
    assert written.clients == 80
    assert looked_up(served) == joined(served)


def test_a_former_publish_of_changes_is_removed_at_the_cost_of_the_changes(
    served: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(served)
    land(served, tmp_path, 2, [5])
    refresh(served, cutoff=FIT)
    visited, drop = [], OnlineStore.drop

    def counting(store: OnlineStore, view: Any, client_ids: Any) -> None:
        parts = [*client_ids]
        visited.extend(one for part in parts for one in part)
        drop(store, view, parts)

    monkeypatch.setattr(OnlineStore, "drop", counting)
    publish(served)
    assert sorted(visited) == ACTIVE


def test_readers_never_see_a_part_of_the_changes(served: Home, tmp_path: Path) -> None:
    states, stop = {looked_up(served)}, threading.Event()
    seen: list[bytes] = []

    def read() -> Iterator[bytes]:
        store = ProfileStore(served)
        while not stop.is_set():
            yield b"".join(one.vector.tobytes() for one in store.lookup_many(CLIENTS))

    readers = [threading.Thread(target=lambda: seen.extend(read())) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(2, 7):
            publish(served)
            states.add(joined(served))
            land(served, tmp_path, number, [*np.arange(number, 90, 9)])
            refresh(served, cutoff=FIT)
        publish(served)
        states.add(joined(served))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert len(seen) > 20
    assert set(seen) <= states
