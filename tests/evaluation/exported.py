"""A shop to export, and checks of an exported directory."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.shops import land, random_shop
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home

BLOCKS = ("ials_categories", "handcrafted")
ENTRIES = ("client_ids.npy", "embeddings.npy", "product_properties.parquet", "input", "target")
Tables = dict[str, pd.DataFrame]


def organisers_split(tables: Tables) -> tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]:
    """Return the starts of both windows, and the end, like the organisers' split_data.py."""
    end = tables["product_buy"]["timestamp"].max()
    start = (end - pd.Timedelta(days=27)).normalize()
    return start, start + pd.Timedelta(days=14), end


def make_shop() -> Tables:
    """Make a shop with clients who buy nothing, unknown products, and products that are new later.

    There are events at the first instants of both windows, and right before them.
    """
    shop = random_shop(clients=60, events=500)
    start, middle, _ = organisers_split(shop)
    just_before = pd.Timedelta("1us")
    for name in EVENT_TYPES:
        edges = [start - just_before, start, middle - just_before, middle]
        shop[name].loc[:3, "timestamp"] = edges
    bought = shop["product_buy"]
    late = bought["timestamp"] > "2022-07-10"
    bought.loc[late & (bought.index % 5 == 0), "sku"] += 60
    products = shop["product_properties"]
    return {**shop, "product_properties": products[products["sku"] % 17 != 5]}


def open_shop(directory: Path, tables: Tables) -> Home:
    home = Home(home=directory / "home")
    with land(home.warehouse, tables):
        return home


def assert_valid(directory: Path) -> None:
    """Check a directory like the organisers' validator."""
    relevant = load(directory / "input/relevant_clients.npy")
    client_ids, embeddings = (
        load(directory / name) for name in ("client_ids.npy", "embeddings.npy")
    )
    assert len(client_ids.shape) == 1
    assert client_ids.dtype == np.int64
    assert len(relevant) == len(client_ids)
    assert np.all(np.isin(relevant, client_ids))
    assert isinstance(embeddings, np.ndarray)
    assert len(embeddings.shape) == 2
    assert embeddings.shape[1] <= 2048
    assert embeddings.dtype == np.float16
    assert not np.any(np.isnan(embeddings))
    assert not np.any(np.isinf(embeddings))
    assert embeddings.shape[0] == len(client_ids)


def load(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def tree(directory: Path) -> dict[str, bytes | None]:
    """Return all paths below a directory, also hidden ones, with the files' content."""
    paths = sorted(directory.rglob("*"))
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in paths
    }
