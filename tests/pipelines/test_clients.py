"""The relevant clients: ``ubp clients``, and its effects."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.clients import relevant_clients
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LATER
from tests.shops import random_shop
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.evaluation.backtest import plan
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.warehouse import Warehouse

WANTED = np.array([7, 3, 5, 11, 999], np.int64)  # the last one has no event
BLOCKS = ["handcrafted", "ials_categories"]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return random_shop(seed=6, clients=40, events=1500)


@pytest.fixture(scope="module")
def landed_shop(tables: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the shop; use `home` to change it."""
    directory = tmp_path_factory.mktemp("clients")
    home = Home(home=directory / "home")
    ingest(home, str(deliver(directory / "delivery", **tables)))
    return home


@pytest.fixture
def home(landed_shop: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return Home(home=shutil.copytree(landed_shop.root, tmp_path / "home"))


@pytest.fixture
def wanted(tmp_path: Path) -> Path:
    np.save(tmp_path / "wanted.npy", WANTED)
    return tmp_path / "wanted.npy"


def profiled(home: Home) -> set[int]:
    return set(Snapshot.read(train(home, BLOCKS, FIT).profile.snapshot_path(FIT)).client_ids)


def test_profiles_are_made_of_the_relevant_clients_only(home: Home, wanted: Path) -> None:
    everybody = profiled(home)
    assert relevant_clients(home).clients is None
    relevant_clients(home, wanted)
    np.testing.assert_array_equal(relevant_clients(home).clients, np.sort(WANTED))
    assert profiled(home) == set(WANTED) & everybody
    relevant_clients(home, everybody=True)
    assert relevant_clients(home).clients is None
    assert profiled(home) == everybody


def test_fits_are_of_the_relevant_clients_but_popularity_of_all(home: Home, wanted: Path) -> None:
    first = train(home, BLOCKS, FIT)
    relevant_clients(home, wanted)
    second = train(home, BLOCKS, FIT)
    assert not second.reused
    before, after = ({f.name: f.report.clients for f in found.fitted} for found in (first, second))
    assert all(after[name] <= 4 < before[name] for name in BLOCKS)
    # A feature that counts all clients is the same for a client, whoever else is relevant.
    ours, theirs = (
        Snapshot.read(Catalog(home).snapshot_path("handcrafted", version, FIT))
        for version in ("v1", "v2")
    )
    rows = np.isin(ours.client_ids, theirs.client_ids)
    np.testing.assert_array_equal(ours.vectors[rows], theirs.vectors)


def test_only_another_list_invalidates_snapshots(home: Home, wanted: Path) -> None:
    version = train(home, BLOCKS, FIT).profile
    path = Catalog(home).snapshot_path("handcrafted", "v1", LATER)
    encode(home, [LATER])
    many = len(Snapshot.read(path).client_ids)
    relevant_clients(home, wanted)
    encode(home, [LATER])
    few, written = set(Snapshot.read(path).client_ids), path.stat().st_mtime_ns
    assert few == set(WANTED) - {999}
    assert len(few) < many
    # Clients of the earlier profile keep it offline as well as online, where none is removed.
    assert len(Snapshot.read(version.snapshot_path(LATER)).client_ids) == many
    relevant_clients(home, wanted)
    encode(home, [LATER])
    assert path.stat().st_mtime_ns == written


def test_status_reports_that_served_profiles_are_of_other_clients(home: Home, wanted: Path) -> None:
    train(home, BLOCKS)
    publish(home)
    found = status(home)
    assert (found["warehouse"]["relevant"], found["warehouse"]["changed"]) == (None, False)
    relevant_clients(home, wanted)
    found = status(home)
    assert (found["warehouse"]["relevant"], found["warehouse"]["changed"]) == (5, True)


def test_a_client_no_longer_listed_has_the_same_profile_offline_and_online(
    home: Home, wanted: Path
) -> None:
    train(home, BLOCKS)
    publish(home)
    relevant_clients(home, wanted)
    _, (encoded,) = encode(home)
    publish(home)
    everybody = Snapshot.read(encoded.path).client_ids
    assert len(everybody) > len(WANTED)
    store = ProfileStore(home.root)
    entities = pd.DataFrame({"client_id": [*everybody, 999]})
    entities["event_timestamp"] = pd.Timestamp("2030-01-01", tz="UTC")
    offline = store.training_set(entities)
    online = store.lookup_many(entities["client_id"])
    np.testing.assert_array_equal(offline.X, np.stack([profile.vector for profile in online]))
    assert offline.known.tolist() == [profile.known for profile in online]
    assert offline.known.tolist() == [True] * len(everybody) + [False]


def test_an_evaluation_covers_the_relevant_clients(home: Home, wanted: Path) -> None:
    relevant_clients(home, wanted)
    np.testing.assert_array_equal(plan(home)[1], np.sort(WANTED))


def test_a_later_delivery_leaves_the_list_alone(
    home: Home, wanted: Path, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    relevant_clients(home, wanted)
    visits = tables["page_visit"].head(3).assign(timestamp=pd.Timestamp("2022-12-01"))
    ingest(home, str(deliver(tmp_path / "next", page_visit=visits)))
    np.testing.assert_array_equal(relevant_clients(home).clients, np.sort(WANTED))
    with Warehouse(home.warehouse) as warehouse:
        assert set(warehouse.history(FIT).clients) == set(WANTED)


def test_command_line(
    home: Home, wanted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ubp(*arguments: str) -> tuple[int, str]:
        found = run_ubp(capsys, *arguments, "--home", str(home.root))
        return found.code, found.out + found.err

    assert ubp("clients") == (0, "Profiles are made of all clients\n")
    said = "Profiles are made of 5 clients, 4 of whom have events\n"
    assert ubp("clients", str(wanted)) == ubp("clients") == (0, said)
    assert "(5 relevant)" in ubp("status")[1]
    assert ubp("clients", "--all") == (0, "Profiles are made of all clients\n")
    for arguments, words in (
        ([str(wanted), "--all"], "name a FILE or give --all, not both"),
        ([str(tmp_path / "nowhere.npy")], "nowhere.npy"),
        ([str(tmp_path)], "a list of clients is a .npy, a .parquet or a .csv file"),
    ):
        code, said = ubp("clients", *arguments)
        assert code == 2
        assert words in said
        assert said.count("\n") == 1
    np.save(tmp_path / "strangers.npy", np.array([998, 999]))
    code, said = ubp("clients", str(tmp_path / "strangers.npy"))
    assert code == 2
    assert "none of its clients, such as 998, has an event in the warehouse" in said
    (tmp_path / "text.csv").write_text("client_id\nanna\n")
    code, said = ubp("clients", str(tmp_path / "text.csv"))
    assert (code, "client_id is a whole number of 64 bits, not 'anna'" in said) == (2, True)
    assert relevant_clients(home).clients is None
