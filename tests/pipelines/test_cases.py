"""Inputs that have done silent damage, or were refused for a reason that misled."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest
from rich.console import Console

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.retrieve import training_set
from pipelines.status import status
from pipelines.tables import status_tables
from pipelines.train import train
from tests.pipelines.deliveries import deliver, purchases
from tests.pipelines.job import FIT
from tests.pipelines.landed import landed
from tests.shops import random_shop
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.home import Home


@pytest.fixture
def served(home: Home, tmp_path: Path) -> Home:
    ingest(home, str(deliver(tmp_path / "delivery", **random_shop(clients=30, events=300))))
    train(home, ["counters"], FIT)
    publish(home)
    return home


def test_coarse_times_are_said_where_repeats_cannot_be_told(home: Home, tmp_path: Path) -> None:
    days = purchases(50, timestamp=pd.Timestamp("2022-06-01"))
    ingest(home, str(deliver(tmp_path / "first", product_buy=days)))
    more = pd.concat([days, days.head(1).assign(sku=99)])
    result = ingest(home, str(deliver(tmp_path / "second", product_buy=more)))
    assert landed(result) == (1, 50, 0)
    assert any("times of product_buy are whole hours or days: that 50" in n for n in result.notes)


def test_local_times_of_another_zone_are_suspected(home: Home, tmp_path: Path) -> None:
    now = pd.Timestamp.now("UTC").tz_localize(None).floor("s")
    times = [now + pd.Timedelta(f"{hours}h") for hours in range(-50, 11)]
    frame = purchases(len(times), timestamp=times)
    with pytest.raises(BatchRejected, match=r"in the future.*are read as UTC: are these others'"):
        ingest(home, str(deliver(tmp_path / "delivery", product_buy=frame)))


def test_nothing_of_a_delivery_stays_behind_in_the_warehouse(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "good", product_buy=purchases())))
    with pytest.raises(BatchRejected):
        bad = purchases(timestamp=pd.Timestamp("1970-01-01"))
        ingest(home, str(deliver(tmp_path / "bad", product_buy=bad)))
    copy = tmp_path / "copy"
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        assert connection.sql("FROM duckdb_views() WHERE NOT internal").fetchall() == []
        connection.execute(f"EXPORT DATABASE '{copy}'")
    with duckdb.connect() as connection:
        connection.execute(f"IMPORT DATABASE '{copy}'")
        assert connection.sql("SELECT count(*) FROM product_buy").fetchall() == [(100,)]


def test_entities_and_outputs_that_are_no_parquet(served: Home, tmp_path: Path) -> None:
    frame = pd.DataFrame({"client_id": [1], "event_timestamp": [FIT]})
    frame.to_csv(tmp_path / "entities.csv", index=False)
    frame.to_parquet(tmp_path / "entities.parquet")
    with pytest.raises(UBPError, match=r"entities\.csv: not a Parquet file, which entities are"):
        training_set(served, tmp_path / "entities.csv", tmp_path / "out.parquet")
    with pytest.raises(UBPError, match=r"out\.csv: what is written is Parquet: name a file that"):
        training_set(served, tmp_path / "entities.parquet", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_block_that_was_fitted_and_not_encoded_has_no_width_yet(served: Home) -> None:
    for snapshot in Catalog(served).snapshots("counters", "v1"):
        snapshot.path.unlink()
    console = Console(width=100)
    with console.capture() as shown:
        console.print(status_tables(status(served)))
    assert "None" not in shown.get()
    assert "counters" in shown.get()
