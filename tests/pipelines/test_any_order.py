"""What holds does not depend on the order in which a history was loaded, nor on slips."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.audit import audit
from pipelines.clients import relevant_clients
from pipelines.encode import encode
from pipelines.evaluate import evaluate
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.revert import revert
from pipelines.status import status
from pipelines.train import train
from tests.evaluation.evaluated import no_report, thin_networks
from tests.pipelines.deliveries import deliver, purchases
from tests.pipelines.job import day
from tests.pipelines.landed import rows
from tests.shops import END, random_shop
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse

CUTOFF = day("2022-06-05")


def price(value: int, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"sku": [1], "category": [1], "price": [value], **more})


def land(home: Home, directory: Path, delivered: str | None = None, **tables: pd.DataFrame) -> int:
    number = len(list(directory.iterdir())) if directory.exists() else 0
    source = deliver(directory / str(number), **tables)
    result = ingest(home, str(source), delivered_at=parse_time(delivered) if delivered else None)
    assert result.batch
    return result.batch


def price_at(home: Home, time: str) -> list[int]:
    with Warehouse(home.warehouse) as warehouse:
        history = warehouse.history(day(time))
        return history.query("SELECT price FROM product_properties")["price"].to_pylist()


def test_prices_of_an_earlier_delivery_may_land_later(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", "2022-06-10", product_properties=price(50))
    land(home, tmp_path / "d", "2022-06-02", product_properties=price(10))
    assert [price_at(home, f"2022-06-{d}") for d in ("01", "05", "11")] == [[10], [10], [50]]


def test_a_price_without_a_time_holds_from_its_delivery_on_after_one_with_a_time(
    home: Home, tmp_path: Path
) -> None:
    land(home, tmp_path / "d", "2022-06-02", product_properties=price(10, valid_from="2022-01-01"))
    land(home, tmp_path / "d", "2022-06-06", product_properties=price(50))
    assert [price_at(home, time) for time in ("2021-12-01", "2022-06-05", "2022-06-07")] == [
        [],
        [10],
        [50],
    ]


def test_a_price_delivered_at_another_time_is_another_history(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", "2022-06-02", product_properties=price(10))
    changed = deliver(tmp_path / "changed", product_properties=price(70))
    land(home, tmp_path / "d", product_buy=purchases(200))
    # The last batch, so that its time is all that the next one changes.
    ingest(home, str(changed), delivered_at=day("2022-06-08"))

    def identity() -> str:
        with Warehouse(home.warehouse) as warehouse:
            return warehouse.identity(day("2022-06-09"))

    before = identity()
    ingest(home, str(changed), replace=3, delivered_at=day("2022-06-04"))
    assert identity() != before


def test_who_is_in_reverted_events_alone_has_nothing_of_them(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", product_buy=purchases(200))
    train(home, ["counters"], CUTOFF)
    late = land(home, tmp_path / "d", product_buy=purchases(50, client_id=99))
    encode(home, [CUTOFF])
    revert(home, late)
    encode(home, [CUTOFF])
    publish(home)
    store = ProfileStore(home)
    row = pd.DataFrame({"client_id": [99], "event_timestamp": [CUTOFF]})
    for vector in (store.lookup(99).vector, store.training_set(row).X[0]):
        np.testing.assert_array_equal(vector, store.version.mean)
    assert audit(home).differences == []


def test_as_delivered_nobody_is_kept_who_came_later(home: Home, tmp_path: Path) -> None:
    cutoff = day("2022-06-04")
    land(home, tmp_path / "d", "2022-06-03 23:00", product_buy=purchases(70))
    land(home, tmp_path / "d", product_buy=purchases(50, client_id=99))
    train(home, ["counters"], cutoff)
    encode(home, [cutoff], as_delivered=True)
    publish(home)
    store = ProfileStore(home)
    np.testing.assert_array_equal(store.lookup(99).vector, store.version.mean)
    assert audit(home).differences == []
    assert not status(home)["served"]["late_events"]


def test_the_list_of_clients_may_come_back(home: Home, tmp_path: Path) -> None:
    """The file that was served is joined, not another one of the same origin."""
    land(home, tmp_path / "d", product_buy=purchases(200))
    some, others = (tmp_path / name for name in ("some.csv", "others.csv"))
    pd.DataFrame({"client_id": range(4)}).to_csv(some, index=False)
    pd.DataFrame({"client_id": range(4, 8)}).to_csv(others, index=False)
    relevant_clients(home, some)
    train(home, ["counters"], CUTOFF)
    publish(home)
    served = pd.Timestamp.now("UTC")
    for file in (others, some):
        relevant_clients(home, file)
        encode(home, [CUTOFF])
    asked = pd.DataFrame({"client_id": range(10), "event_timestamp": served})
    assert ProfileStore(home).training_set(asked, as_served=True).known.sum() == 4
    publish(home)
    # Who left the list keeps a profile, and is not computed again.
    found = audit(home)
    assert (found.clients, found.computed, found.differences) == (8, 4, [])


def test_parts_of_a_second_come_after_it(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", product_buy=purchases(200))
    second = datetime.fromisoformat("2022-06-05T06:00:00+00:00")
    train(home, ["counters"], second)
    part = second.replace(microsecond=500_000)
    encode(home, [part])
    publish(home)
    assert ProfileStore(home).lookup(1).cutoff == part
    assert [one.cutoff for one in get_version(home, "v1").snapshots] == [second, part]
    asked = pd.DataFrame({"client_id": [1], "event_timestamp": [pd.Timestamp(part).as_unit("ns")]})
    asked["event_timestamp"] += pd.Timedelta("1ns")
    assert ProfileStore(home).training_set(asked).known.all()


def test_a_replaced_batch_names_the_files_that_lost_rows(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", product_buy=purchases(20))
    land(home, tmp_path / "d", product_buy=purchases(30))
    right = deliver(tmp_path / "right", product_buy=purchases(20, sku=99))
    notes = ingest(home, str(right), replace=1).notes
    assert any("rows that they share with the replaced batch are gone" in note for note in notes)


def test_edges_of_wrong_prices_go_with_them(home: Home, tmp_path: Path) -> None:
    for name, factor in (("wrong", 100), ("right", 1)):
        products = pd.DataFrame({"sku": range(50), "category": 1})
        products["price"] = [f"{factor * number:.2f}" for number in range(50)]
        (tmp_path / name).mkdir()
        products.to_csv(tmp_path / name / "product_properties.csv", index=False)
    land(home, tmp_path / "d", product_buy=purchases(20))
    ingest(home, str(tmp_path / "wrong"))
    ingest(home, str(tmp_path / "right"), replace=2)
    assert rows(home, "SELECT count(DISTINCT price) FROM product_properties") == [(50,)]


def test_times_of_what_landed_before_are_refused(home: Home, tmp_path: Path) -> None:
    source = deliver(tmp_path / "d", product_buy=purchases(20))
    ingest(home, str(source))
    with pytest.raises(UBPError, match=r"landed before, in batch 1, .*--replace 1"):
        ingest(home, str(source), delivered_at=day("2022-07-01"))


def test_an_evaluation_asks_about_those_who_were_known(home: Home, tmp_path: Path) -> None:
    shop = random_shop(clients=60, events=600)
    shop["product_buy"] = shop["product_buy"].head(120)
    shop["product_buy"].loc[0, "timestamp"] = END - pd.Timedelta("1h")
    start = END.normalize() - pd.Timedelta("28D")
    events = {name: frame for name, frame in shop.items() if "timestamp" in frame}
    known = {
        name: frame[(frame["timestamp"] < start) & (frame["client_id"] <= 40)]
        for name, frame in events.items()
    }
    land(
        home,
        tmp_path / "d",
        f"{start - pd.Timedelta(minutes=1)}",
        **known,
        product_properties=shop["product_properties"],
    )
    land(home, tmp_path / "d", **events)
    with thin_networks(), no_report():
        found = evaluate(home, ["counters"], ["churn"], heads=["logistic"], as_delivered=True)
    assert (found.clients, found.unknown) == (40, 0)
