"""Events before a login belong to the client from the login on, and never before it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.deliveries import deliver, layout, purchases
from tests.pipelines.landed import rows
from ubp_platform.home import Home
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse, targets
from ubp_platform.warehouse.unload import event_file

NOON = datetime(2026, 3, 2, 12)


def call(number: int, minute: int, user: str | None, device: str) -> dict[str, object]:
    at = NOON + timedelta(minutes=minute)
    return {
        "type": "identify" if number == 99 else "page",
        "messageId": f"m{number}-{device}",
        "anonymousId": device,
        "userId": user,
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
        "receivedAt": f"{at:%Y-%m-%dT%H:%M:%S}.500Z",
        "properties": {"url": f"/{device}/{number}"},
    }


# On the device "own" ann logs in with her fourth call; the first call is 31 minutes before the
# second. On "shared" ann follows bob within half an hour. On "never" there is no login.
CALLS = [
    call(0, -60, None, "own"),
    call(1, -29, None, "own"),
    call(2, 0, None, "own"),
    call(99, 10, "ann", "own"),
    call(3, 20, "ann", "own"),
    call(4, 25, None, "own"),
    call(0, 0, "bob", "shared"),
    call(1, 5, None, "shared"),
    call(2, 20, "ann", "shared"),
    call(0, 0, None, "never"),
]


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with these calls; nobody changes it."""
    directory = tmp_path_factory.mktemp("logins")
    home, shop = Home(home=directory / "home"), directory / "shop"
    shop.mkdir()
    text = "".join(json.dumps(one) + "\n" for one in CALLS)
    (shop / "calls.ndjson").write_text(text)
    notes = ingest(home, str(shop)).notes
    dropped = "3: of somebody who does not log in; 1: no event: identify"
    assert f"rows dropped by the layout, {dropped}" in notes
    return home


def test_a_visit_belongs_to_who_logs_in_later_in_the_same_session(landed: Home) -> None:
    found = rows(
        landed,
        """SELECT u.id, c.id, known_from FROM page_visit
           JOIN client_id_key c ON c.key = client_id JOIN url_key u ON u.key = url ORDER BY u.id""",
    )
    login, later = NOON + timedelta(minutes=10), NOON + timedelta(minutes=20)
    assert found == [
        ("/own/1", "ann", login),
        ("/own/2", "ann", login),
        ("/own/3", "ann", None),
        ("/shared/0", "bob", None),
        ("/shared/1", "ann", later),
        ("/shared/2", "ann", None),
    ]


@pytest.mark.parametrize(("minute", "visits"), [(1, 1), (10, 1), (11, 3), (20, 3), (21, 6)])
def test_a_cutoff_before_the_login_does_not_know_of_it(
    landed: Home, minute: int, visits: int
) -> None:
    cutoff = parse_time(str(NOON + timedelta(minutes=minute)))
    with Warehouse(landed.warehouse) as warehouse:
        history = warehouse.history(cutoff)
        assert history.counts["page_visit"] == visits
        ann = warehouse.identifiers("client_id").keys(np.array(["ann"]))
        assert (ann[0] in history.clients) == (minute >= 11)


def test_a_custom_layout_can_deliver_known_from(home: Home, tmp_path: Path) -> None:
    query = "SELECT client_id, timestamp, sku, login AS known_from FROM rows"
    mine = layout(tmp_path / "mine", product_buy=query)
    frame = purchases(50).assign(login="2022-07-01")
    frame.loc[:9, "login"] = ""
    frame.loc[10, "login"] = "soon"
    source = deliver(tmp_path / "delivery", ".csv", product_buy=frame)
    (file,) = ingest(home, str(source), mine).files
    assert (file.landed, file.quarantined) == (49, 1)
    assert "known_from is a time" in rows(home, "SELECT rule FROM quarantine")[0][0]
    with Warehouse(home.warehouse) as warehouse:
        for cutoff, count in ((pd.Timestamp("2022-07-01"), 10), ("2022-07-01 00:00:01", 49)):
            assert warehouse.history(parse_time(str(cutoff))).counts["product_buy"] == count


def test_exports_and_lists_of_clients_do_not_know_a_later_login(
    landed: Home, tmp_path: Path
) -> None:
    counts = []
    with Warehouse(landed.warehouse) as warehouse:
        ids = warehouse.identifiers("client_id")
        for minute in (5, 11):  # ann logs in at minute 10
            before = (NOON + timedelta(minutes=minute)).replace(tzinfo=UTC)
            path = tmp_path / f"{minute}.parquet"
            event_file(warehouse, "page_visit", before, path)
            exported = pd.read_parquet(path)["client_id"].tolist()
            assert set(exported) == set(ids.ids(targets.clients(warehouse, before)))
            counts.append(exported.count("ann"))
    assert counts == [0, 2]
