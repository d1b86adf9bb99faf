"""Whoever is forgotten leaves every lake, whatever has happened to it."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.forget import forget
from pipelines.ingest import ingest
from pipelines.lake import lake
from tests.lake.lakes import SHOP, part, read, warehouse_rows
from tests.pipelines.deliveries import deliver
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.opening import place_of


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
