"""Small warehouses for tests: from literal rows, or a random shop with all event types."""

from pathlib import Path

import numpy as np
import pandas as pd

from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.warehouse import Warehouse

START = pd.Timestamp("2022-06-01")
DAYS = 60
END = START + pd.Timedelta(days=DAYS)


def land(path: Path, tables: dict[str, pd.DataFrame]) -> Warehouse:
    """Put rows straight into a warehouse, past the checks, and open it for reading."""
    with Warehouse(path, write=True) as warehouse:
        for name, frame in tables.items():
            columns = ", ".join(TABLES[name].columns)
            warehouse.connection.register("rows", frame)
            warehouse.connection.execute(
                f"INSERT INTO {name} ({columns}, batch_id) SELECT {columns}, 1 FROM rows"
            )
            warehouse.connection.unregister("rows")
    return Warehouse(path)


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
