"""A lake holds what the warehouse holds, bucket by bucket, through everything that changes it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ingest import ingest
from pipelines.lake import lake
from pipelines.revert import revert
from pipelines.status import status
from tests.lake.lakes import part, read, warehouse_rows
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from tests.shops import land, random_shop
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home
from ubp_platform.lake import writing
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.opening import place_of
from ubp_platform.lake.place import Place
from ubp_platform.lake.reading import LakeReader
from ubp_platform.lake.writing import write_lake


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


def test_the_status_says_whether_it_is_current(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(home)["lakes"] == []
    lake(home, bucket_clients=30)
    [found] = status(home)["lakes"]
    assert found == {
        "place": str(home.lake),
        "used": True,
        "events": sum(map(len, warehouse_rows(home).values())),
        "buckets": 2,
        "current": True,
    }
    ingest(home, str(deliver(tmp_path / "second", **part(later=True))))
    assert not status(home)["lakes"][0]["current"]
    assert "come or gone since: `ubp lake`" in run_ubp(capsys, "status", "--home", home.root).out
    lake(home)
    revert(home, 2)
    assert not status(home)["lakes"][0]["current"]
    lake(home)
    assert status(home)["lakes"][0]["current"]
    monkeypatch.setenv("UBP_LAKE", str(tmp_path / "elsewhere"))
    assert "; not in use now" in run_ubp(capsys, "status", "--home", home.root).out
    # One that may not answer is not asked.
    (home.lakes).write_text("0123456789abcdef s3://shop/lake\n")
    assert status(home)["lakes"][1] == {
        "place": "s3://shop/lake",
        "used": False,
        "events": None,
        "buckets": None,
        "current": None,
    }


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


def test_files_are_as_private_as_the_home(home: Home) -> None:
    lake(home)
    modes = {path.stat().st_mode & 0o077 for path in home.lake.rglob("*")}
    assert modes == {0}
