"""A wrong batch is reverted, or replaced by the right one."""

from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.revert import revert
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, purchases
from tests.pipelines.job import FIT, day
from tests.pipelines.landed import events, rows
from tests.shops import END, random_shop
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.warehouse import Warehouse


def ledger_and_identity(home: Home) -> tuple[list[tuple], str]:
    with Warehouse(home.warehouse) as warehouse:
        identity = warehouse.identity(pd.Timestamp(END, tz="UTC").to_pydatetime())
    return rows(home, "SELECT batch_id, rows_landed FROM batch_file ORDER BY ALL"), identity


def test_a_reverted_batch_leaves_the_warehouse_as_it_was(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "first", **random_shop(events=200))))
    before = events(home), events(home, "page_visit"), ledger_and_identity(home)
    second = random_shop(seed=1, events=100)
    del second["product_properties"]
    result = ingest(home, str(deliver(tmp_path / "second", **second)))
    assert events(home) != before[0]
    done = revert(home, result.batch)
    lost, again = done.lost, done.again
    assert lost == {file.table: file.landed for file in result.files if file.landed}
    assert not again
    assert (events(home), events(home, "page_visit"), ledger_and_identity(home)) == before
    # The same files can land again.
    again = ingest(home, str(tmp_path / "second"))
    assert [file.landed for file in again.files] == [file.landed for file in result.files]
    # A number is assigned once.
    assert (result.batch, again.batch) == (2, 3)


def test_a_corrected_delivery_replaces_the_wrong_one(home: Home, tmp_path: Path) -> None:
    wrong = purchases(50)
    right = purchases(50, timestamp=wrong["timestamp"] + pd.Timedelta("1h"))
    first = ingest(home, str(deliver(tmp_path / "wrong", product_buy=wrong)))
    done = ingest(home, str(deliver(tmp_path / "right", product_buy=right)), replace=first.batch)
    assert len(events(home)) == 50
    assert {row[1] for row in events(home)} == set(right["timestamp"])
    assert any("was reverted" in note for note in done.notes)
    assert rows(home, "SELECT batch_id FROM batch") == [(done.batch,)]


def test_a_rejected_replacement_reverts_nothing(home: Home, tmp_path: Path) -> None:
    first = ingest(home, str(deliver(tmp_path / "first", product_buy=purchases(50))))
    before = events(home)
    bad = purchases(50, timestamp=pd.Timestamp("1970-01-01"))
    with pytest.raises(BatchRejected):
        ingest(home, str(deliver(tmp_path / "bad", product_buy=bad)), replace=first.batch)
    with pytest.raises(UBPError, match="there is no batch 7; there are: 1"):
        later = purchases(9, sku=99)
        ingest(home, str(deliver(tmp_path / "later", product_buy=later)), replace=7)
    assert events(home) == before


def test_the_command(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--home", str(home.root))
    outcome = run_ubp(capsys, "revert", "1", *where)
    assert (outcome.code, "no warehouse at" in outcome.err) == (2, True)
    assert not home.warehouse.exists()
    ingest(home, str(deliver(tmp_path / "first", product_buy=purchases(50))))
    outcome = run_ubp(capsys, "revert", "2", *where)
    assert (outcome.code, "there is no batch 2; there are: 1" in outcome.err) == (2, True)
    outcome = run_ubp(capsys, "revert", "1", *where)
    assert (outcome.code, outcome.out) == (
        0,
        "Batch 1 reverted: 50 of product_buy\nNext ubp ingest SOURCE\n",
    )


@pytest.mark.parametrize("unit", ["s", "min", "D"])
def test_the_same_events_in_another_precision_cause_a_warning(
    home: Home, tmp_path: Path, unit: str
) -> None:
    finer = purchases(50)
    finer["timestamp"] += pd.to_timedelta(range(1001, 1051), unit="ms")
    coarse = finer.assign(timestamp=finer["timestamp"].dt.floor(unit))
    ingest(home, str(deliver(tmp_path / "first", product_buy=coarse)))
    notes = ingest(home, str(deliver(tmp_path / "again", product_buy=finer))).notes
    assert any("50 of 50 new rows of product_buy have the time of" in note for note in notes)
    assert any("`ubp revert 2` removes" in note for note in notes)


@pytest.mark.parametrize(
    "more",
    [
        purchases(50, sku=77),
        # The same the next day, and one client who does the same again.
        purchases(50).assign(timestamp=lambda frame: frame["timestamp"] + pd.Timedelta("1D")),
        purchases(1).assign(timestamp=lambda frame: frame["timestamp"] + pd.Timedelta("30min")),
    ],
)
def test_other_events_cause_no_warning(home: Home, tmp_path: Path, more: pd.DataFrame) -> None:
    ingest(home, str(deliver(tmp_path / "first", product_buy=purchases(50))))
    notes = ingest(home, str(deliver(tmp_path / "other", product_buy=more))).notes
    assert not any("same otherwise" in note for note in notes)


def test_the_same_events_in_another_time_zone_cause_a_warning(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "first", product_buy=purchases(50))))
    later = purchases(50)
    later["timestamp"] += pd.Timedelta("2h")
    notes = ingest(home, str(deliver(tmp_path / "again", product_buy=later))).notes
    assert any(
        # Two more began at midnight, so that they could be of days without hours.
        "47 of 50 new rows of product_buy are 2 hours later than a row" in note
        for note in notes
    )


def test_repeats_of_coarse_times_cause_a_warning(home: Home, tmp_path: Path) -> None:
    days = purchases(50, timestamp=pd.Timestamp("2022-06-01"), sku=range(50))
    ingest(home, str(deliver(tmp_path / "first", product_buy=days)))
    more = pd.concat([days.tail(5), days.tail(5).assign(sku=99)])
    notes = ingest(home, str(deliver(tmp_path / "more", product_buy=more))).notes
    assert any("5 rows were skipped as known" in note for note in notes)


def test_rows_that_other_batches_delivered_can_land_again(home: Home, tmp_path: Path) -> None:
    more = purchases(60)
    ingest(home, str(deliver(tmp_path / "first", product_buy=more.head(50))))
    ingest(home, str(deliver(tmp_path / "second", product_buy=more)))
    done = revert(home, 1)
    lost, again = done.lost, done.again
    assert (lost, again) == (
        {"product_buy": 50},
        [f"product_buy.parquet of {tmp_path / 'second'} (batch 2)"],
    )
    assert len(events(home)) == 10
    assert ingest(home, str(tmp_path / "second")).files[0].landed == 50
    assert len(events(home)) == 60


def test_without_the_batch_that_changed_a_product_it_is_as_before(
    home: Home, tmp_path: Path
) -> None:
    for name, price in {"first": 5, "second": 50}.items():
        products = pd.DataFrame({"sku": ["a"], "price": [f"{price}.50"]})
        ingest(home, str(deliver(tmp_path / name, ".csv", product_properties=products)))
    assert revert(home, 2).again == []
    assert rows(home, "SELECT money FROM product_properties") == [(5.5,)]


def test_without_any_batch_left_another_kind_may_land(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "numbers", product_buy=purchases(20))))
    text = deliver(tmp_path / "text", product_buy=purchases(20, client_id="anna"))
    ingest(home, str(text), replace=1)
    assert rows(home, "SELECT id FROM client_id_key") == [("anna",)]
    revert(home, 2)
    ingest(home, str(tmp_path / "numbers"))
    assert rows(home, "SELECT count(*) FROM client_id_key") == [(0,)]


def test_fits_of_other_keys_are_not_used(home: Home, tmp_path: Path) -> None:
    """A corrected first delivery has one id more, and so other keys for all that come after it."""

    def delivery(name: str, *more: str) -> str:
        events = purchases(100)
        ids = [f"client {one}" for one in events["client_id"]]
        events = events.assign(client_id=ids, sku=events["sku"].map("sku {}".format))
        extra = purchases(len(more), client_id=list(more), sku="sku 1") if more else events[:0]
        return str(deliver(tmp_path / name, ".csv", product_buy=pd.concat([events, extra])))

    ingest(home, delivery("first"))
    train(home, ["counters"])
    encode(home)
    ingest(home, delivery("corrected", "a client"), replace=1)
    with pytest.raises(UBPError, match=r"text ids had other keys .*: `ubp train && ubp publish`"):
        encode(home)
    assert train(home, ["counters"]).fitted
    encode(home)
    # They are the same in a warehouse that was lost and filled again in the same order.
    home.warehouse.unlink()
    ingest(home, str(tmp_path / "corrected"))
    encode(home)


def test_a_replacement_that_brings_nothing_new_replaces_nothing(home: Home, tmp_path: Path) -> None:
    for number in (1, 2):
        bought = purchases(20, sku=number)
        ingest(home, str(deliver(tmp_path / str(number), product_buy=bought)))
    with pytest.raises(UBPError, match="nothing new to replace batch 1 with: it stays"):
        ingest(home, str(tmp_path / "2"), replace=1)
    assert len(events(home)) == 40


def test_what_was_encoded_of_a_reverted_batch_and_never_served_goes(
    landed_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else it would stay the newest, and be what the next publish serves."""
    home = landed_home
    train(home, ["handcrafted"], FIT)
    publish(home)
    rows = {"client_id": [5], "timestamp": [pd.Timestamp("2022-09-01 12:00")], "sku": [1]}
    ingest(home, str(deliver(tmp_path / "late", product_buy=pd.DataFrame(rows))))
    encode(home, cutoffs=[day("2022-09-01")])
    path = newest_version(home).snapshot_path(day("2022-09-01"))
    outcome = run_ubp(capsys, "revert", "2", "--home", home.root)
    assert (outcome.code, path.exists()) == (0, False)
    assert f"Removed, because it was never served and the log ends before: {path}" in outcome.out
    assert newest_version(home).snapshot_path(FIT).exists()
    encode(home)
    publish(home)


def test_a_revert_that_was_interrupted_is_finished_by_the_same_command(
    landed_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = landed_home
    train(home, ["handcrafted"], FIT)
    rows = {"client_id": [5], "timestamp": [pd.Timestamp("2022-09-01 12:00")], "sku": [1]}
    ingest(home, str(deliver(tmp_path / "late", product_buy=pd.DataFrame(rows))))
    encode(home, cutoffs=[day("2022-09-01")])
    path = newest_version(home).snapshot_path(day("2022-09-01"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("pipelines.revert.discard_beyond", Mock(side_effect=KeyboardInterrupt))
        revert(home, 2)
    assert path.exists()
    assert revert(home, 2).discarded == [path]
    with pytest.raises(UBPError, match="there is no batch 2; there are: 1"):
        revert(home, 2)
