"""Each shipped layout, on a small delivery with rows computed by hand."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ubp_platform.events.schema import TABLES
from ubp_platform.layouts.description import layout_named, shipped
from ubp_platform.layouts.source import Source, recognise
from ubp_platform.layouts.staging import staging
from ubp_platform.warehouse.scan import Scan

NOON = datetime(2026, 3, 2, 12)
SECONDS = int(NOON.replace(tzinfo=UTC).timestamp())


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def ga4(name: str, second: int, user: str | None = "ann", **more: Any) -> dict[str, Any]:
    given = {"event_timestamp": f"{SECONDS + second}000000", "event_name": name, **more}
    if user:
        given["user_id"] = user
    return {"event_params": [], "items": [], **given, "user_pseudo_id": "1.2"}


def parameter(key: str, value: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"string_value": value}}]


def call(kind: str, number: int, event: str | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "event": event,
        "messageId": f"m{number}",
        "anonymousId": "a",
        "userId": "ann",
        "timestamp": f"2026-03-02T12:00:0{number}.000Z",
        "receivedAt": "2026-03-02T12:01:00.000Z",
        "properties": properties,
    }


REES46 = """event_time,event_type,product_id,category_id,category_code,brand,price,user_id,\
user_session
2026-03-02 12:00:00 UTC,view,11,5,home.pan,acme,9.50,7204500000000000001,s
2026-03-02 12:00:01 UTC,cart,11,5,home.pan,acme,9.50,7204500000000000001,s
2026-03-02 12:00:02 UTC,remove_from_cart,11,5,home.pan,acme,9.50,7204500000000000001,s
2026-03-02 12:00:03 UTC,purchase,11,5,home.pan,acme,10.50,7204500000000000004,s
"""
PRODUCT = {"id": "PA-1", "name": "Pan", "category": "home/pan", "price": "9.50"}


def in_csv(value: Any) -> str:
    return '"' + json.dumps(value).replace('"', '""') + '"'


SNOWPLOW = (
    "collector_tstamp,derived_tstamp,event_id,event_name,domain_userid,domain_sessionid,user_id,"
    "page_url,"
    "unstruct_event_com_snowplowanalytics_snowplow_site_search_1_0_0,"
    "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1_0_0,"
    "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_0\n"
    "2026-03-02 12:00:09,2026-03-02 12:00:00.000,e1,page_view,d,s,ann,https://s/,,,[]\n"
    "2026-03-02 12:09:09,2026-03-02 12:00:00.000,e1,page_view,d,s,ann,https://s/,,,[]\n"
    "2026-03-02 12:00:09,2026-03-02 12:00:01.000,e2,site_search,d,s,ann,,"
    f"{in_csv({'terms': ['a', 'b']})},,[]\n"
    "2026-03-02 12:00:09,2026-03-02 12:00:02.000,e3,snowplow_ecommerce_action,d,s,ann,,,"
    f"{in_csv({'type': 'add_to_cart'})},{in_csv([PRODUCT])}\n"
    "2026-03-02 12:00:09,2026-03-02 12:00:03.000,e4,snowplow_ecommerce_action,d,s,ann,,,"
    f"{in_csv({'type': 'transaction'})},{in_csv([PRODUCT])}\n"
)
SHOPIFY = """Name,Email,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Notes
#1,ann,2026-03-02 13:00:03 +0100,1,Pan,9.50,PA-1,"a note
over lines"
#1,,,2,Lid,3.00,LI-1,
#1,,,2,Lid,3.00,LI-1,
"""
RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,HOLDER,6,3/2/2026 12:00,2.55,17850.0,United Kingdom
C536379,85123A,HOLDER,-1,3/2/2026 12:05,2.55,17850.0,United Kingdom
536370,POST,POSTAGE,3,3/2/2026 12:00,18,17850.0,United Kingdom
"""

# Files by layout; then the expected rows, starting with the id of a client or product.
DELIVERIES: dict[str, tuple[dict[str, str], dict[str, list[tuple[Any, ...]]]]] = {
    "rees46": (
        {"2026-Mar.csv": REES46},
        {
            "page_visit": [("7204500000000000001", 0, "11")],
            "add_to_cart": [("7204500000000000001", 1, "11")],
            "remove_from_cart": [("7204500000000000001", 2, "11")],
            "product_buy": [("7204500000000000004", 3, "11")],
            "product_properties": [
                ("11", "home.pan", "10.50", "acme", 3),
                ("11", "home.pan", "9.50", "acme", 0),
            ],
        },
    ),
    "retailrocket": (
        {
            "events.csv": "timestamp,visitorid,event,itemid,transactionid\n"
            f"{SECONDS}000,1,view,11,\n{SECONDS + 1}000,1,addtocart,11,\n"
            f"{SECONDS + 3}000,1,transaction,11,9\n",
            "item_properties_part1.csv": "timestamp,itemid,property,value\n"
            f"{SECONDS}000,11,790,n9.500\n{SECONDS + 2}000,11,790,n10.500\n"
            f"{SECONDS + 1}000,11,790,n9.500\n{SECONDS + 3}000,11,available,1\n"
            f"{SECONDS}000,11,categoryid,5\n{SECONDS + 1}000,11,283,7 8\n",
        },
        {
            "page_visit": [("1", 0, "11")],
            "add_to_cart": [("1", 1, "11")],
            "product_buy": [("1", 3, "11")],
            "product_properties": [
                ("11", "5", "10.500", "7 8", 2),
                ("11", "5", "9.500", "7 8", 1),
                ("11", "5", "9.500", None, 0),
            ],
        },
    ),
    "otto": (
        {
            "train.jsonl": lines(
                {
                    "session": 1,
                    "events": [
                        {"aid": 11, "ts": SECONDS * 1000, "type": "clicks"},
                        {"aid": 11, "ts": SECONDS * 1000 + 1000, "type": "carts"},
                        {"aid": 11, "ts": SECONDS * 1000 + 3000, "type": "orders"},
                    ],
                }
            )
        },
        {
            "page_visit": [(1, 0, 11)],
            "add_to_cart": [(1, 1, 11)],
            "product_buy": [(1, 3, 11)],
        },
    ),
    "taobao": (
        {
            "UserBehavior.csv": f"1,11,5,pv,{SECONDS}\n1,11,5,cart,{SECONDS + 1}\n"
            f"1,11,0,fav,{SECONDS + 2}\n1,12,0,buy,{SECONDS + 3}\n"
        },
        {
            "page_visit": [("1", 0, "11")],
            "add_to_cart": [("1", 1, "11")],
            "product_buy": [("1", 3, "12")],
            "product_properties": [("11", "5", 0), ("12", None, 3)],
        },
    ),
    "online_retail": (
        {"data.csv": RETAIL},
        {
            "product_buy": [("17850", 0, "85123A")],
            "product_properties": [("85123A", "2.55", "HOLDER", 0)],
        },
    ),
    "shopify": (
        {"orders_export.csv": "\ufeff" + SHOPIFY},
        {
            "product_buy": [("ann", 3, "LI-1"), ("ann", 3, "PA-1")],
            "product_properties": [("LI-1", "3.00", "Lid", 3), ("PA-1", "9.50", "Pan", 3)],
        },
    ),
    "ga4": (
        {
            "events_20260302.json.gz": lines(
                ga4("page_view", 0, event_params=parameter("page_location", "https://s/")),
                ga4("page_view", 0, event_params=parameter("page_location", "https://s/")),
                ga4("view_item", 0, items=[{"item_id": "PA-1"}]),
                ga4("view_search_results", 1, None, event_params=parameter("search_term", "NULL")),
                ga4("purchase", 3, items=[{"item_id": "PA-1", "item_name": "Pan", "price": 9.5}]),
            )
        },
        {
            "page_visit": [("ann", 0, "https://s/")],
            "search_query": [("ann", 1, "NULL")],
            "add_to_cart": [],
            "remove_from_cart": [],
            "product_buy": [("ann", 3, "PA-1")],
            "product_properties": [("PA-1", None, "9.5", "Pan", 3), ("PA-1", None, None, None, 0)],
        },
    ),
    "segment": (
        {
            "calls.ndjson": lines(
                call("page", 0, url="https://s/"),
                call("page", 0, url="https://s/") | {"receivedAt": "2026-03-03T00:00:00.000Z"},
                call("track", 1, "Products Searched", query="a  b"),
                call("track", 2, "Product Added", sku="PA-1", price=9.5, name="Pan", category="x"),
                call("track", 3, "Order Completed", products=[{"sku": "PA-1", "price": "10.5"}]),
            )
        },
        {
            "page_visit": [("ann", 0, "https://s/")],
            "search_query": [("ann", 1, "a  b")],
            "add_to_cart": [("ann", 2, "PA-1")],
            "remove_from_cart": [],
            "product_buy": [("ann", 3, "PA-1")],
            "product_properties": [("PA-1", "x", "10.5", "Pan", 3), ("PA-1", "x", "9.5", "Pan", 2)],
        },
    ),
    "snowplow": (
        {"events.csv": SNOWPLOW},
        {
            "page_visit": [("ann", 0, "https://s/")],
            "search_query": [("ann", 1, "a b")],
            "add_to_cart": [("ann", 2, "PA-1")],
            "remove_from_cart": [],
            "product_buy": [("ann", 3, "PA-1")],
            "product_properties": [("PA-1", "home/pan", "9.50", "Pan", 2)],
        },
    ),
}


def write(directory: Path, files: dict[str, str]) -> Path:
    directory.mkdir()
    for name, text in files.items():
        packed = text.encode("utf-8")
        (directory / name).write_bytes(gzip.compress(packed) if name.endswith(".gz") else packed)
    return directory


def staged(source: Path, layout: str, tmp_path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Stage a delivery; times as seconds from noon."""
    delivery = Source.at(source).of(layout_named(layout))
    (tmp_path / "stage").mkdir()
    found: dict[str, list[tuple[Any, ...]]] = {}
    with staging(delivery, tmp_path / "stage") as stage, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for part in stage.tables():
            rows = stage.stage(part)
            columns = [name for name in TABLES[part.table].columns if name != "timestamp"]
            Scan(connection, rows)
            if part.table == "product_properties":
                given = connection.read_parquet(str(rows.path)).columns
                listed = ", ".join(f"d.{name}" for name in columns if name in given)
                query = f"""SELECT {listed}, epoch(s.valid_from)::BIGINT - {SECONDS}
                            FROM delivered d JOIN staged s ON s.row_number = d._ubp_row"""
            else:
                query = f"""SELECT d.client_id, epoch(s.timestamp)::BIGINT - {SECONDS},
                                   d.{columns[1]}
                            FROM delivered d JOIN staged s ON s.row_number = d._ubp_row"""
            found[part.table] = sorted(connection.execute(query).fetchall(), key=str)
    return found


@pytest.mark.parametrize("name", DELIVERIES)
def test_a_delivery_is_recognised_and_its_rows_are_those_known_by_hand(
    name: str, tmp_path: Path
) -> None:
    files, expected = DELIVERIES[name]
    source = write(tmp_path / "source", files)
    assert recognise(Source.at(source), shipped()).layout.name == name
    found = staged(source, name, tmp_path)
    assert found.keys() == expected.keys()
    for table, rows in expected.items():
        assert found[table] == rows, table


def test_every_shipped_layout_is_tested_here_or_by_challenge_deliveries() -> None:
    # Complete Journey has a package of real data, and tests of its own.
    assert shipped().keys() == {"challenge", "completejourney", *DELIVERIES}
    assert all(layout.description.about for layout in shipped().values())
