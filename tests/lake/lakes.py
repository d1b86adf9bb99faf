"""A shop, its lake and its warehouse, row by row."""

import numpy as np
import pandas as pd

from tests.shops import random_shop
from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.home import Home
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.place import Place
from ubp_platform.lake.reading import LakeReader
from ubp_platform.warehouse import Warehouse

SHOP = random_shop(seed=3, clients=60, events=400)
LATER = pd.Timestamp("2022-07-15")


def part(later: bool) -> dict[str, pd.DataFrame]:
    """The days before a time, or from it on; products belong to the first part."""
    found = {
        name: frame[(frame["timestamp"] >= LATER) == later]
        for name, frame in SHOP.items()
        if name in EVENT_TYPES
    }
    return found if later else {**found, "product_properties": SHOP["product_properties"]}


def read(place: Place) -> dict[str, list[tuple]]:
    """All rows of each table, from the buckets, each checked to be in its bucket."""
    manifest = Manifest.read(place)
    assert manifest
    reader, found = LakeReader(place, manifest), dict[str, list[tuple]]()
    for number, bucket in enumerate(manifest.buckets):
        opened = reader.open(number, number)._connection
        rows = 0
        for name in EVENT_TYPES:
            some = opened.execute(f"SELECT * FROM {name}").fetchall()
            clients = np.array([row[0] for row in some], np.int64)
            places = np.searchsorted(manifest.firsts[1:], clients, side="right")
            assert (places == number).all()
            found[name] = [*found.get(name, []), *some]
            rows += len(some)
        assert rows == bucket.rows
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def warehouse_rows(home: Home) -> dict[str, list[tuple]]:
    with Warehouse(home.warehouse) as warehouse:
        return {
            name: sorted(
                warehouse.connection.execute(
                    f"SELECT {', '.join(TABLES[name].stored)}, batch_id FROM {name}"
                ).fetchall(),
                key=repr,
            )
            for name in EVENT_TYPES
        }
