"""A lake holds what the warehouse holds, bucket by bucket, through everything that changes it."""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.forget import forget
from pipelines.ingest import ingest
from pipelines.lake import lake
from pipelines.revert import revert
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from tests.shops import land, random_shop
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.home import Home
from ubp_platform.lake import writing
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.opening import place_of
from ubp_platform.lake.place import Place
from ubp_platform.lake.reading import LakeReader
from ubp_platform.lake.writing import write_lake
from ubp_platform.warehouse import Warehouse

SHOP = random_shop(seed=3, clients=60, events=400)
LATER = pd.Timestamp("2022-07-15")


def part(later: bool) -> dict[str, pd.DataFrame]:
    """The days before a time, or from it on; products belong to the first part."""
    found = {
        name: frame[(frame["timestamp"] >= LATER) == later]
        for name, frame in SHOP.items()
        if name in EVENT_TYPES
    }
    return found if later else {**found, "product_properties": SHOP["product_properties"]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "first", **part(later=False))))
    return home


def read(place: Place) -> dict[str, list[tuple]]:
    """All rows of each table, from the buckets, each checked to be in its bucket."""
    manifest = Manifest.read(place)
    assert manifest
    reader, found = LakeReader(place, manifest), dict[str, list[tuple]]()
    for number, bucket in enumerate(manifest.buckets):
        opened = reader.open(number, number)._connection
        rows = 0
        for name in EVENT_TYPES:
            some = opened.execute(f"SELECT * FROM {name}").fetchall()
            clients = np.array([row[0] for row in some], np.int64)
            places = np.searchsorted(manifest.firsts[1:], clients, side="right")
            assert (places == number).all()
            found[name] = [*found.get(name, []), *some]
            rows += len(some)
        assert rows == bucket.rows
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def warehouse_rows(home: Home) -> dict[str, list[tuple]]:
    with Warehouse(home.warehouse) as warehouse:
        return {
            name: sorted(
                warehouse.connection.execute(
                    f"SELECT {', '.join(TABLES[name].stored)}, batch_id FROM {name}"
                ).fetchall(),
                key=repr,
            )
            for name in EVENT_TYPES
        }


def test_it_holds_every_event_once(home: Home) -> None:
    found = lake(home, bucket_clients=7)
    assert len(found.written.manifest.buckets) == 9
    assert read(place_of(home)) == warehouse_rows(home)


def test_what_is_up_to_date_is_left_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lake(home, bucket_clients=7).written.manifest
    monkeypatch.setattr(Place, "writing", None)  # nothing is even compared there
    again = lake(home).written
    assert (again.manifest, again.anew, again.appended) == (first, 0, 0)


def test_a_delivery_is_appended(home: Home, tmp_path: Path) -> None:
    before = lake(home, bucket_clients=7).written.manifest
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    written = lake(home).written
    assert written.anew == 0
    assert written.appended > 0
    assert {file.name for one in before.buckets for file in one.files} <= {
        file.name for file in written.manifest.files
    }
    assert read(place_of(home)) == warehouse_rows(home)


def test_buckets_with_many_files_are_merged(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_MOST_FILES", 1)
    lake(home, bucket_clients=30)
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    manifest = lake(home).written.manifest
    assert {len(one.files) for one in manifest.buckets} == {1}
    assert read(place_of(home)) == warehouse_rows(home)


def test_new_clients_divide_the_bucket_that_they_fill(home: Home, tmp_path: Path) -> None:
    lake(home, bucket_clients=20)
    more = random_shop(seed=4, clients=50, events=400, first_client=1000)
    ingest(home, str(deliver(tmp_path / "more", **{n: more[n] for n in EVENT_TYPES})))
    manifest = lake(home).written.manifest
    assert len(manifest.buckets) > 3
    assert max(one.clients for one in manifest.buckets) < 40
    assert read(place_of(home)) == warehouse_rows(home)


def test_a_reverted_batch_is_gone(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    lake(home, bucket_clients=7)
    revert(home, 2)
    lake(home)
    assert read(place_of(home)) == warehouse_rows(home)


def test_a_warehouse_that_began_anew_is_not_taken_for_the_old_one(
    home: Home, tmp_path: Path
) -> None:
    lake(home, bucket_clients=7)
    home.warehouse.unlink()
    # The same number of rows in a batch of the same number.
    moved = {
        n: f.assign(client_id=f["client_id"] % 60 + 1)
        for n, f in part(False).items()
        if n in EVENT_TYPES
    }
    ingest(home, str(deliver(tmp_path / "other", **moved)))
    lake(home)
    assert read(place_of(home)) == warehouse_rows(home)


def test_a_forgotten_client_leaves_no_bytes(home: Home) -> None:
    lake(home, bucket_clients=7)
    before = Manifest.read(place_of(home))
    assert before
    client = int(SHOP["product_buy"]["client_id"].iloc[0])
    forget(home, [str(client)])
    place = place_of(home)
    rows = read(place)
    assert not [row for some in rows.values() for row in some if row[0] == client]
    assert rows == warehouse_rows(home)
    after = Manifest.read(place)
    assert after
    assert {*place.names()} == {"lake.json", *(file.name for file in after.files)}
    # Only the bucket of the client was written.
    assert sum(one in before.buckets for one in after.buckets) == len(after.buckets) - 1


def test_a_bucket_that_loses_all_clients_is_empty(home: Home) -> None:
    lake(home, bucket_clients=1)
    client = int(SHOP["product_buy"]["client_id"].iloc[0])
    forget(home, [str(client)])
    rows = read(place_of(home))
    assert rows == warehouse_rows(home)
    assert not [row for some in rows.values() for row in some if row[0] == client]
    again = lake(home).written
    assert (again.anew, again.appended) == (0, 0)


def holds(directory: Path, client: int) -> bool:
    """Whether a Parquet file below a directory has a client, whatever it is called."""
    paths = [path for path in directory.rglob("*") if path.is_file() and "parquet" in path.name]
    return any(client in pq.read_table(path).to_pydict().get("client_id", []) for path in paths)


@pytest.mark.parametrize("outside", [False, True])
def test_what_a_killed_first_write_left_is_forgotten(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: bool
) -> None:
    place = tmp_path / "outside" if outside else home.lake
    if outside:
        monkeypatch.setenv("UBP_LAKE", str(place))
    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "write", lambda *_: sys.exit(1))
        with pytest.raises(SystemExit):
            lake(home, bucket_clients=7)
    client = int(SHOP["product_buy"]["client_id"].iloc[0])
    assert holds(place, client)
    monkeypatch.delenv("UBP_LAKE", raising=False)
    forget(home, [str(client)])
    assert not holds(place, client)


def test_an_outside_lake_is_followed_through_a_replaced_batch(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UBP_LAKE", "relative/lake")
    lake(home, bucket_clients=7)
    ingest(home, str(deliver(tmp_path / "again", **part(later=True))), replace=1)
    client = int(SHOP["product_buy"]["client_id"].iloc[0])
    monkeypatch.chdir("/")
    forget(home, [str(client)])
    assert not holds(tmp_path / "relative", client)
    monkeypatch.chdir(tmp_path)
    lake(home)
    assert read(place_of(home)) == warehouse_rows(home)


def test_a_lake_that_is_gone_does_not_keep_others(home: Home) -> None:
    lake(home, bucket_clients=7)
    home.lakes.write_text("0123456789abcdef gs://gone/lake\n")
    client = int(SHOP["product_buy"]["client_id"].iloc[0])
    with pytest.raises(
        UBPError, match=r"gs://gone/lake any more, remove its line from .*lakes.txt"
    ):
        forget(home, [str(client)])
    assert not holds(home.lake, client)
    home.lakes.unlink()
    forget(home)


@pytest.mark.parametrize("value", ["/", " ", "a\nb", "memory://x", "http://u:secret@shop/lake"])
def test_places_that_cannot_be(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("UBP_LAKE", value)
    outcome = run_ubp(capsys, "lake", "--home", home.root)
    assert outcome.code == 2
    assert "secret" not in outcome.err


def test_what_is_not_of_the_lake_is_left_alone(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`UBP_LAKE` may name a directory that is used."""
    place = tmp_path / "used"
    others = [place / name for name in ("2024/3.parquet", "notes.txt", "write-1/mine.csv")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    monkeypatch.setenv("UBP_LAKE", str(place))
    lake(home, bucket_clients=7)
    lake(home, bucket_clients=9)
    assert [path.read_text() for path in others] == ["mine"] * 3


def test_another_homes_lake_is_not_replaced(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_LAKE", str(tmp_path / "shared"))
    lake(home)
    other = Home(tmp_path / "other")
    ingest(other, str(deliver(tmp_path / "theirs", **part(later=False))))
    with pytest.raises(UBPError, match=r"is of another home: .*`ubp lake --anew`"):
        lake(other)
    assert read(place_of(home)) == warehouse_rows(home)
    lake(other, anew=True)
    assert read(place_of(other)) == warehouse_rows(other)


def test_a_run_that_was_killed_leaves_the_lake_as_it_was(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake(home, bucket_clients=7)
    before = read(place_of(home))
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    write = Manifest.write

    def stopped(self: Manifest, place: Place) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        lake(home)
    assert read(place_of(home)) == before
    monkeypatch.setattr(Manifest, "write", write)
    manifest = lake(home).written.manifest
    assert read(place_of(home)) == warehouse_rows(home)
    assert {*place_of(home).names()} == {"lake.json", *(file.name for file in manifest.files)}


def test_damage_is_noticed_and_cured(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    lake(home, bucket_clients=7)
    place = place_of(home)
    [file] = Manifest.read(place).buckets[2].files  # type: ignore[union-attr]
    path = home.lake / file.name
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    with pytest.raises(DamagedFile, match=rf"{file.name} is damaged: `ubp lake --anew`"):
        read(place)
    assert f"{file.name} is damaged" in run_ubp(capsys, "doctor", "--home", home.root).out
    path.unlink()
    assert f"{file.name} is missing" in run_ubp(capsys, "doctor", "--home", home.root).out
    with pytest.raises(DamagedFile, match=rf"{file.name} is not to be seen here"):
        read(place)
    (home.lake / "lake.json").write_text("{}")
    outcome = run_ubp(capsys, "lake", "--home", home.root)
    assert outcome.code == 2
    assert "`ubp lake --anew`" in outcome.err
    assert run_ubp(capsys, "lake", "--anew", "--home", home.root).code == 0
    lake(home, bucket_clients=7)
    again = lake(home, anew=True).written
    assert (again.anew, again.untouched) == (9, 0)  # of the same size
    assert not [path for path in home.lake.iterdir() if path.is_dir() and not [*path.iterdir()]]
    assert read(place) == warehouse_rows(home)


def test_the_command_says_what_it_wrote(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_ubp(capsys, "lake", "--bucket-clients", 30, "--home", home.root)
    assert outcome.code == 0
    assert "events, buckets: 2, " in outcome.out
    assert "buckets written: 2, added to: 0, unchanged: 0" in outcome.out


def test_without_events_there_is_no_lake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_ubp(capsys, "lake", "--home", tmp_path / "none")
    assert outcome.code == 2
    assert "ubp ingest SOURCE" in outcome.err
    assert not (tmp_path / "none").exists()


def test_a_bucket_refuses_what_it_does_not_know(home: Home) -> None:
    lake(home, bucket_clients=7)
    place = place_of(home)
    manifest = Manifest.read(place)
    assert manifest
    history = LakeReader(place, manifest).open(1, 1).history(FIT)
    for ask in (
        lambda: history.counts,
        lambda: history.first,
        lambda: history.last,
        lambda: history.vocabulary("sku"),
        lambda: history.until(FIT),
        lambda: history.query("SELECT client_id, count(*) AS n FROM page_visit GROUP BY 1"),
        lambda: history.query("SELECT client_id, 1 AS n FROM main.Page_Visit"),
        lambda: history.query("SELECT '--' AS a, count(*) AS n FROM \"EVENT\""),
        lambda: history.query("SELECT 1 AS n FROM query_table('page' || '_visit')"),
        lambda: history.query("SELECT 1", counted=["sku_popularity"]),
    ):
        with pytest.raises(UBPError, match="of all clients"):
            ask()
    table = history.query(
        "SELECT DISTINCT client_id FROM relevant_page_visit AS event /* page_visit */ ORDER BY ALL"
    )
    assert {*table["client_id"].to_pylist()} <= {*history.clients.tolist()}
    history.close()


@settings(max_examples=25, deadline=None)
@given(
    clients=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40, unique=True),
    size=st.integers(1, 12),
    data=st.data(),
)
def test_any_ids_are_split_into_ranges(
    clients: list[int], size: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("ids")
    time = datetime(2022, 6, 1, tzinfo=UTC).replace(tzinfo=None)
    frame = pd.DataFrame({"client_id": clients, "timestamp": time, "sku": 1})
    with land(directory / "warehouse.duckdb", {"product_buy": frame}) as warehouse:
        manifest = write_lake(
            Place(str(directory / "lake")), warehouse, bucket_clients=size
        ).manifest
    assert max(one.clients for one in manifest.buckets) <= size
    assert sum(one.clients for one in manifest.buckets) == len(clients)
    asked = np.array(sorted(data.draw(st.sets(st.sampled_from(clients)))), np.int64)
    parts = manifest.split(asked)
    assert len(parts) == len(manifest.buckets)
    assert np.concatenate(parts).tolist() == asked.tolist()
    shutil.rmtree(directory)


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3-compatible server on loopback, with a bucket."""
    pytest.importorskip("s3fs")
    from tests.lake.s3 import object_store

    with object_store() as (environment, url):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield url


def test_it_may_lie_in_an_object_store(
    home: Home, object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_LAKE", object_store)
    lake(home, bucket_clients=7)
    assert read(place_of(home)) == warehouse_rows(home)
    assert not home.lake.exists()
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    lake(home)
    assert read(place_of(home)) == warehouse_rows(home)
    revert(home, 2)
    manifest = lake(home).written.manifest
    assert read(place_of(home)) == warehouse_rows(home)
    assert {*place_of(home).names()} == {"lake.json", *(file.name for file in manifest.files)}


def test_an_object_store_that_does_not_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("UBP_LAKE", "s3://shop/lake")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    outcome = run_ubp(capsys, "lake", "--home", home.root)
    assert outcome.code == 2
    assert "the lake at s3://shop/lake does not answer" in outcome.err
    monkeypatch.setenv("UBP_LAKE", "gs://shop/lake")
    assert "cannot be opened" in run_ubp(capsys, "lake", "--home", home.root).err


def test_files_are_as_private_as_the_home(home: Home) -> None:
    lake(home)
    modes = {path.stat().st_mode & 0o077 for path in home.lake.rglob("*")}
    assert modes == {0}
