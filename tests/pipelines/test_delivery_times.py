"""Two times of an event: when it happened, and when it became known."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, layout, purchases
from tests.pipelines.job import day
from tests.pipelines.landed import rows
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import Known

BLOCKS = ["handcrafted", "counters"]
FIRST, THEN, LATER = day("2022-06-20"), day("2022-07-01"), day("2022-07-20")


def land(home: Home, directory: Path, delivered_at: datetime | None, **tables: pd.DataFrame) -> int:
    result = ingest(home, str(deliver(directory, **tables)), delivered_at=delivered_at)
    assert result.batch
    return result.batch


def between(shop: dict[str, pd.DataFrame], start: str, end: str) -> dict[str, pd.DataFrame]:
    return {
        name: frame[(frame["timestamp"] >= start) & (frame["timestamp"] < end)]
        for name, frame in shop.items()
        if "timestamp" in frame
    }


def vectors(home: Home, cutoff: datetime, version: str = "v1") -> bytes:
    snapshot = Snapshot.read(get_version(home, version).snapshot_path(cutoff))
    return snapshot.client_ids.tobytes() + snapshot.vectors.tobytes()


@pytest.mark.parametrize(
    ("delivered_at", "expected"),
    [
        ("2022-06-05 10:05", "2022-06-05"),  # in the course of the day
        ("2022-06-06 02:00", "2022-06-06"),  # the whole day is there
        ("2022-06-20 02:00", "2022-06-06"),  # of a history
        (None, "2022-06-06"),
    ],
)
def test_the_default_cutoff_is_the_newest_time_up_to_which_the_log_is_complete(
    home: Home, tmp_path: Path, delivered_at: str | None, expected: str
) -> None:
    until_ten = purchases(107)  # hourly; the last one at 10:00 on 5 June
    time = parse_time(delivered_at) if delivered_at else None
    land(home, tmp_path / "first", time, product_buy=until_ten)
    assert train(home, ["counters"]).cutoff == day(expected)
    assert status(home)["warehouse"]["complete_until"] == day(expected).isoformat()


def test_a_cutoff_may_be_as_late_as_the_last_event(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", parse_time("2022-06-05 10:05"), product_buy=purchases(107))
    train(home, ["counters"])
    encode(home, [parse_time("2022-06-05 10:00")])
    publish(home)
    with pytest.raises(UBPError, match="too late: the last event is from 2022-06-05 10:00, and"):
        encode(home, [parse_time("2022-06-05 10:01")])


def test_the_shop_may_say_up_to_when_its_log_is_complete(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = deliver(tmp_path / "d", product_buy=purchases(107))
    where = ("ingest", source, "--home", home.root, "--complete-until")
    late = run_ubp(capsys, *where, "2022-06-05 11:00", "--delivered-at", "2022-06-05 10:30")
    assert (late.code, "is after the delivery" in late.err) == (2, True)
    assert run_ubp(capsys, *where, "2022-06-05 08:00").code == 0
    assert train(home, ["counters"]).cutoff == parse_time("2022-06-05 08:00")


def test_a_delivery_cannot_be_older_than_what_is_in_it(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UBPError, match=r"--delivered-at 2022-06-05 10:00:00 is not after .* last"):
        land(home, tmp_path / "d", parse_time("2022-06-05 10:00"), product_buy=purchases(107))
    assert rows(home, "FROM batch") == []


@pytest.fixture(scope="module")
def late_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose second delivery, of the second half, came in time; a third one came late."""
    directory = tmp_path_factory.mktemp("late")
    home, shop = Home(directory / "home"), random_shop()
    products = {"product_properties": shop["product_properties"]}
    first = between(shop, "2022-06-01", "2022-06-20")
    land(home, directory / "first", day("2022-06-20"), **first, **products)
    train(home, BLOCKS, FIRST)
    second = between(shop, "2022-06-20", "2022-07-15")
    land(home, directory / "second", day("2022-07-15"), **second)
    return home


def test_what_was_delivered_by_a_time_can_be_told_from_what_is_known_now(
    late_home: Home, tmp_path: Path
) -> None:
    """Nothing that happened at or after the cutoff, or was delivered then, changes a bit."""
    home = late_home
    on_time = between(random_shop(), "2022-06-20", "2022-06-28")
    land(home, tmp_path / "on time", day("2022-06-29"), product_buy=on_time["product_buy"].head(9))
    encode(home, [THEN], as_delivered=True)
    then = vectors(home, THEN)
    late = random_shop(seed=3)
    planted = {**between(late, "2022-06-10", "2022-07-19"), "product_properties": _repriced(late)}
    batch = land(home, tmp_path / "late", LATER, **planted)
    _, (as_delivered,) = encode(home, [THEN], as_delivered=True)
    assert as_delivered.revised is None
    for path in home.root.rglob("20220701T*.parquet"):
        path.unlink()
    encode(home, [THEN], as_delivered=True)
    assert vectors(home, THEN) == then
    assert status(home)["warehouse"]["stale"] == {"v1": [FIRST.isoformat()]}
    _, (restated,) = encode(home, [THEN])
    assert restated.revised
    before = rows(home, f"SELECT count(*) FROM product_buy WHERE batch_id = {batch}")
    assert restated.revised.events > before[0][0] / 2
    assert 0 < restated.revised.clients <= 60
    assert vectors(home, THEN) != then
    # Later prices hold from their delivery on.
    with Warehouse(home.warehouse) as warehouse:
        for cutoff, new in ((THEN, False), (LATER, False), (day("2022-07-21"), True)):
            prices = warehouse.history(cutoff).query("SELECT price FROM product_properties")
            assert (set(prices["price"].to_pylist()) == {1}) == new


def _repriced(shop: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return shop["product_properties"].assign(price=1)


def test_as_delivered_is_refused_where_nobody_knows_when_it_was(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "all", None, product_buy=purchases(300))
    train(home, ["counters"])
    with pytest.raises(UBPError, match=r"nothing had been delivered .*--replace BATCH --delivered"):
        encode(home, [day("2022-06-10")], as_delivered=True)


def test_events_may_say_when_they_became_known(home: Home, tmp_path: Path) -> None:
    """A column of the layout; the same event, delivered again later, stays what it was."""
    query = "SELECT client_id, timestamp, sku, seen AS delivered_at FROM rows"
    mine = layout(tmp_path / "mine", product_buy=query)
    events = purchases(10, seen="2022-06-02 00:00:00")
    ingest(home, str(deliver(tmp_path / "one", ".csv", rows=events)), mine)
    more = pd.concat([events.assign(seen="2022-06-07"), purchases(20, seen="2022-06-08").tail(10)])
    result = ingest(home, str(deliver(tmp_path / "two", ".csv", rows=more)), mine)
    assert (result.files[0].landed, result.files[0].known) == (10, 10)
    with Warehouse(home.warehouse) as warehouse:
        for known, expected in (("2022-06-02", 0), ("2022-06-03", 10), ("2022-06-09", 20)):
            history = warehouse.history(LATER, known=Known(delivered_before=day(known)))
            assert history.counts["product_buy"] == expected
        identities = [
            warehouse.identity(LATER, Known(delivered_before=day(known)))
            for known in ("2022-06-03", "2022-06-09")
        ]
        assert len({*identities, warehouse.identity(LATER)}) == 2


def test_properties_of_products_hold_from_a_time_on(home: Home, tmp_path: Path) -> None:
    products = random_shop()["product_properties"].head(3).drop(columns="name")
    dated = products.assign(price=7, valid_from="2022-06-03 12:00:00").head(1)
    first = {"product_buy": purchases(10), "product_properties": products}
    land(home, tmp_path / "first", day("2022-06-02"), **first)
    land(home, tmp_path / "second", day("2022-06-10"), product_properties=products.assign(price=9))
    land(home, tmp_path / "third", None, product_properties=dated)
    expected = {
        "2022-06-03 12:00:00": [*products["price"]],
        "2022-06-03 12:00:01": [7, *products["price"][1:]],
        "2022-06-10 00:00:01": [9, 9, 9],
    }
    with Warehouse(home.warehouse) as warehouse:
        for cutoff, prices in expected.items():
            history = warehouse.history(parse_time(cutoff))
            found = history.query("SELECT price FROM product_properties ORDER BY sku")
            assert found["price"].to_pylist() == prices, cutoff
    # The same again says nothing new.
    assert (
        not ingest(home, str(deliver(tmp_path / "again", ".csv", product_properties=dated)))
        .files[0]
        .landed
    )


def test_a_history_shows_the_prices_that_its_events_had_shown(home: Home, tmp_path: Path) -> None:
    """In one bulk load, where a layout finds the products in the events."""
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,x\n"
    shown = {"2022-06-01": "9.50", "2022-06-03": "10.50", "2022-06-05": "9.50"}
    lines = [f"{day} 12:00:00 UTC,view,11,5,pan,acme,{price},7,s\n" for day, price in shown.items()]
    (tmp_path / "2022-Jun.csv").write_text(
        (head + "".join(lines)).replace("user_id,x", "user_id,user_session")
    )
    ingest(home, str(tmp_path / "2022-Jun.csv"))
    with Warehouse(home.warehouse) as warehouse:
        for cutoff, price in (*shown.items(), ("2022-06-20", None)):
            history = warehouse.history(parse_time(f"{cutoff} 13:00"))
            found = history.query("SELECT money FROM product_properties")["money"].to_pylist()
            assert found == [float(price or "9.50")]


def test_a_column_of_times_that_the_layout_leaves_out_is_reported(
    home: Home, tmp_path: Path
) -> None:
    events = purchases(10).assign(delivered_at="2022-06-09 12:00:00")
    text = "SELECT client_id, timestamp, sku FROM rows"
    directory = layout(tmp_path / "shop", product_buy=text)
    source = deliver(tmp_path / "in", ".csv", product_buy=events)
    notes = ingest(home, str(source), str(directory)).notes
    assert any("a column delivered_at, and the layout's product_buy.sql does" in n for n in notes)


def test_status_says_how_late_events_come(home: Home, tmp_path: Path) -> None:
    events = purchases(100)
    land(home, tmp_path / "history", None, product_buy=events.head(10))
    last = events["timestamp"].max() + pd.Timedelta("2h")
    land(
        home,
        tmp_path / "live",
        last.tz_localize("UTC").to_pydatetime(),
        product_buy=events.tail(90),
    )
    median, most = status(home)["warehouse"]["lateness_hours"]
    assert median == pytest.approx(2 + 44)
    assert most == pytest.approx(2 + 89, abs=1)
