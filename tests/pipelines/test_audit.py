"""`ubp audit` finds nothing in a home in order, and each fault that is put in by hand."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.audit import audit
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LATER
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publishing import profile_view
from ubp_platform.store.retrieval import ProfileStore


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that is served, after which events came late, and a price changed."""
    directory = tmp_path_factory.mktemp("served")
    home, shop = Home(directory / "home"), random_shop()
    ingest(home, str(deliver(directory / "first", **shop)))
    train(home, ["handcrafted", "counters", "ials_categories"], FIT)
    encode(home, [LATER])
    publish(home)
    late = random_shop(seed=1, events=100)["product_buy"]
    prices = shop["product_properties"].head(3).assign(price=1)
    ingest(home, str(deliver(directory / "late", product_buy=late, product_properties=prices)))
    return home


@pytest.fixture
def home(served: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(served.root, tmp_path / "home"))


def test_late_events_and_changed_prices_are_no_fault(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    found = audit(home)
    assert (found.clients, found.computed, found.differences, found.skipped) == (60, 60, [], [])
    assert LATER - pd.Timedelta("1d") < found.knows_until < LATER < found.last_event
    shown = run_ubp(capsys, "audit", "--clients", "20", "--home", home.root)
    assert shown.code == 0
    assert "20 clients looked up, 20 computed again, 0 differ" in shown.out
    # Encoded and published again it knows of them, and is as good.
    encode(home, [LATER])
    publish(home)
    assert audit(home).differences == []


def another_row(home: Home) -> None:
    """Put another client's numbers online."""
    store, version = OnlineStore(home), get_version(home, "v1")
    client, other = ProfileStore(home).lookup_many([7, 8])
    view = profile_view(version, False, store.publication("v1").publish)
    store.write(view, [client.client_id], client.cutoff, other.vector[None])


def no_row(home: Home) -> None:
    with closing(sqlite3.connect(home.feast / "online.db")) as connection, connection:
        connection.execute("DELETE FROM ubp_profile_v1_p1 WHERE rowid = 1")


def another_snapshot(home: Home) -> None:
    """Change a number on disk, with valid checksums, and publish that."""
    path = get_version(home, "v1").snapshot_path(LATER)
    snapshot = Snapshot.read(path)
    made_from = get_version(home, "v1").snapshots[-1].made_from
    vectors = snapshot.vectors.copy()
    vectors[5, 3] = np.nextafter(vectors[5, 3], np.float32(9))
    Snapshot(snapshot.cutoff, snapshot.client_ids, vectors).write(path, made_from)
    publish(home)


def a_landed_event(home: Home) -> None:
    """Change an event that was known when the profiles were made."""
    import duckdb

    with duckdb.connect(home.warehouse) as connection:
        connection.execute("UPDATE product_buy SET sku = sku + 1 WHERE client_id = 7")


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (another_row, "online, not as on disk"),
        (no_row, "not online"),
        (another_snapshot, "on disk, not as computed again"),
        (a_landed_event, "on disk, not as computed again"),
    ],
)
def test_every_fault_is_found(
    home: Home,
    fault: Callable[[Home], None],
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault(home)
    differences = audit(home).differences
    assert {one.what for one in differences} == {what}
    shown = run_ubp(capsys, "audit", "--home", home.root)
    assert (shown.code, what in shown.out) == (3, True)
    assert datetime.now(UTC) > differences[0].cutoff
