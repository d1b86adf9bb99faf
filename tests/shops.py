"""Small warehouses for tests: from literal rows, or a random shop with all event types."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.warehouse import Warehouse

START = pd.Timestamp("2022-06-01")
DAYS = 60
END = START + pd.Timedelta(days=DAYS)


def land(path: Path, tables: dict[str, pd.DataFrame]) -> Warehouse:
    """Put rows straight into a warehouse, past the checks, and open it for reading."""
    with _new(path) as warehouse:
        _insert(warehouse, tables, 1)
    return Warehouse(path)


def land_late(
    path: Path, tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp, seed: int = 1
) -> Warehouse:
    """Land tables just before a cutoff, and at it more events from before it, and other prices."""
    shop = random_shop(seed, 50, 400)
    late = {
        name: frame[frame["timestamp"] < cutoff]
        for name, frame in shop.items()
        if name in EVENT_TYPES
    }
    products = shop["product_properties"]
    others = (products["category"] + 1) % products["category"].nunique()
    late["product_properties"] = products.assign(category=others, valid_from=START)
    with _new(path) as warehouse:
        for batch, time in enumerate((cutoff - pd.Timedelta("1us"), cutoff), 1):
            warehouse.connection.execute(
                """INSERT INTO batch (batch_id, source, landed_at, delivered_at)
                   VALUES (?, '', ?, ?)""",
                [batch, time, time],
            )
            _insert(warehouse, tables if batch == 1 else late, batch)
    return Warehouse(path)


def _new(path: Path) -> Warehouse:
    """Open a new warehouse; a copy of an empty one takes half as long as making it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty())
    return Warehouse(path, write=True)


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "warehouse.duckdb"
        Warehouse(path, write=True).__exit__(None, None, None)
        return path.read_bytes()


def _insert(warehouse: Warehouse, tables: dict[str, pd.DataFrame], batch: int) -> None:
    for name, frame in tables.items():
        columns = ", ".join(column for column in TABLES[name].stored if column in frame)
        warehouse.connection.register("rows", frame)
        warehouse.connection.execute(
            f"INSERT INTO {name} ({columns}, batch_id) SELECT {columns}, {batch} FROM rows"
        )
        warehouse.connection.unregister("rows")


def random_shop(
    seed: int = 0, clients: int = 60, events: int = 2000, first_client: int = 1
) -> dict[str, pd.DataFrame]:
    """Make a shop whose clients each like a few categories; times lie in [START, END)."""
    rng = np.random.default_rng(seed)
    skus, categories, urls = 120, 12, 40
    products = pd.DataFrame(
        {
            "sku": np.arange(skus),
            "category": np.arange(skus) % categories,
            "price": rng.integers(0, 100, skus),
            "name": list(rng.integers(0, 256, (skus, 16), dtype=np.uint8)),
        }
    )
    taste = rng.integers(0, categories, clients)
    tables = {"product_properties": products}
    for name in EVENT_TYPES:
        who = rng.integers(0, clients, events)
        liked = rng.integers(0, skus // categories, events) * categories + taste[who]
        frame = pd.DataFrame(
            {
                "client_id": who + first_client,
                "timestamp": START + pd.to_timedelta(rng.integers(0, DAYS * 86400, events), "s"),
            }
        )
        if name == "page_visit":
            frame["url"] = rng.zipf(1.6, events) % urls
        elif name == "search_query":
            frame["query"] = list(rng.integers(0, 256, (events, 16), dtype=np.uint8))
        else:
            frame["sku"] = np.where(rng.random(events) < 0.8, liked, rng.integers(0, skus, events))
        tables[name] = frame
    return tables


def plant_future(tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Add rows at the cutoff and after it that would change every count, were they seen.

    Known and new clients, known and new products and pages, other properties of all products, and
    one client with a great many events at the very cutoff.
    """
    new = 10_000
    products = tables["product_properties"]
    more = products.tail(4).assign(sku=np.arange(new, new + 4), category=np.arange(new, new + 4))
    other = products.assign(valid_from=cutoff, price=products["price"][::-1].to_numpy())
    other["category"] = products["category"][::-1].to_numpy()
    properties = pd.concat([products, more, other], ignore_index=True)
    planted = {**tables, "product_properties": properties}
    later = np.resize([pd.Timedelta(0), pd.Timedelta("1us"), pd.Timedelta("20D")], 40)
    for name in EVENT_TYPES:
        frame = tables[name]
        some = frame.iloc[np.resize(np.arange(len(frame)), 40)]
        rows = [
            some.assign(timestamp=cutoff + later),
            some.assign(timestamp=cutoff, client_id=np.arange(40) + new),
            frame.iloc[[0] * 500].assign(timestamp=cutoff),
        ]
        for column in {"sku", "url"} & set(frame.columns):
            unseen = np.arange(40) % 4 + new
            rows.append(some.assign(timestamp=cutoff + later, **{column: unseen}))
        planted[name] = pd.concat([frame, *rows], ignore_index=True)
    return planted


def shuffle(tables: dict[str, pd.DataFrame], seed: int = 0) -> dict[str, pd.DataFrame]:
    """Put the rows of every table into another order."""
    return {
        name: frame.sample(frac=1, random_state=seed, ignore_index=True)
        for name, frame in tables.items()
    }
