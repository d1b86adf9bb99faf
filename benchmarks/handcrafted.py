"""How much faster are the handcrafted features in SQL than a pandas function per client?

    python -m benchmarks.handcrafted            # about two minutes on two cores
    python -m benchmarks.handcrafted --small    # seconds, as a smoke test

Both compute the paper's 42 features of the same events, and the script fails if they disagree. The
pandas version is a naive one: group by client, then one Python function on a client's rows with
pandas and numpy. Loading the events is not timed: the block reads the warehouse, pandas has its
frames in memory.
"""

import tempfile
import time
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.arguments import smoke_parser
from benchmarks.machine import report
from tests.shops import land
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.warehouse import Warehouse

START = pd.Timestamp("2022-06-01")
DAYS = 160
# More product events than in the data of RecSys Challenge 2025, so that every feature is used.
SHARES = {"product_buy": 0.06, "add_to_cart": 0.19, "remove_from_cart": 0.07, "page_visit": 0.68}
KINDS = {
    "product_buy": "buy",
    "add_to_cart": "add",
    "remove_from_cart": "remove",
    "page_visit": "visit",
}
NEVER = 3650.0
RUNS = 3


def simulate(events: int, clients: int) -> dict[str, pd.DataFrame]:
    """Make events of active and inactive clients who return to a few products and pages."""
    rng = np.random.default_rng(0)
    skus, urls = 5000, 20_000
    products = pd.DataFrame({"sku": np.arange(skus), "category": rng.integers(0, 300, skus)})
    products["price"] = rng.integers(0, 100, skus)
    products["name"] = list(np.zeros((skus, 16), np.uint8))
    # Some products have no properties.
    tables = {"product_properties": products.iloc[: -skus // 50]}
    favourite = rng.integers(0, skus, (clients, 6))
    for name, share in SHARES.items():
        count = round(events * share)
        who = (clients * rng.random(count) ** 2).astype(np.int64)
        seconds = rng.integers(0, DAYS * 86400 * 1_000_000, count)
        frame = pd.DataFrame(
            {"client_id": who, "timestamp": START + pd.to_timedelta(seconds, "us")}
        )
        if name == "page_visit":
            frame["url"] = rng.zipf(1.3, count) % urls
        else:
            frame["sku"] = favourite[who, rng.integers(0, 6, count)]
        tables[name] = frame
    return tables


def in_sql(path: Path, cutoff: pd.Timestamp) -> tuple[pd.DataFrame, float]:
    """Encode from the warehouse; return the features and the best time of several runs."""
    with Warehouse(path) as warehouse:
        seconds = []
        for _ in range(RUNS):
            start = time.perf_counter()
            history = warehouse.history(cutoff.to_pydatetime().replace(tzinfo=UTC))
            snapshot = Handcrafted().encode(history)
            seconds.append(time.perf_counter() - start)
    return pd.DataFrame(snapshot.vectors, snapshot.client_ids, snapshot.names), min(seconds)


def in_pandas(
    tables: dict[str, pd.DataFrame], cutoff: pd.Timestamp, share: int
) -> tuple[pd.DataFrame, float]:
    """Compute the same for every ``share``-th client; return the seconds scaled to all."""
    start = time.perf_counter()
    frames = [tables[name].assign(kind=kind) for name, kind in KINDS.items()]
    events = pd.concat(frames, ignore_index=True)
    events = events[events["timestamp"] < cutoff]
    events = events.merge(tables["product_properties"].drop(columns="name"), on="sku", how="left")
    events["sku_popularity"] = np.log1p(events["sku"].map(events["sku"].value_counts()))
    events["url_popularity"] = np.log1p(events["url"].map(events["url"].value_counts()))
    prepared = time.perf_counter()
    # Not the first ones: client numbers correlate with activity.
    some = events[events["client_id"] % share == 0]
    rows = {client: of_client(own, cutoff) for client, own in some.groupby("client_id")}
    result = pd.DataFrame.from_dict(rows, orient="index", dtype=np.float32)
    scale = events["client_id"].nunique() / len(result)
    return result, prepared - start + scale * (time.perf_counter() - prepared)


def of_client(events: pd.DataFrame, cutoff: pd.Timestamp) -> dict[str, float]:
    """Compute the features of one client's events."""
    features: dict[str, float] = {}
    of_kind = {kind: events[events["kind"] == kind] for kind in KINDS.values()}
    for kind, own in of_kind.items():
        days = (cutoff - own["timestamp"]) / pd.Timedelta("1D")
        features[f"{kind}_total"] = len(own)
        for window in (7, 30):
            now = (days <= window).sum()
            before = ((days > window) & (days <= 2 * window)).sum()
            features[f"{kind}_{window}d"] = now
            features[f"{kind}_change_{window}d"] = (
                (now - before) / (now + before) if now + before else 0
            )
        features[f"{kind}_interval_days"] = (
            min(NEVER, days.sort_values().diff().mean()) if len(own) > 1 else NEVER
        )
        features[f"{kind}_first_days"] = min(NEVER, days.max()) if len(own) else NEVER
        features[f"{kind}_last_days"] = min(NEVER, days.min()) if len(own) else NEVER

    bought, added, visited = of_kind["buy"], of_kind["add"], of_kind["visit"]
    products = events[events["kind"] != "visit"]
    features["distinct_skus"] = products["sku"].nunique()
    features["distinct_categories"] = products["category"].nunique()
    features["distinct_urls"] = visited["url"].nunique()
    features["sku_popularity"] = products["sku_popularity"].mean() if len(products) else 0
    features["url_popularity"] = visited["url_popularity"].mean() if len(visited) else 0
    prices = pd.concat([bought["price"], added["price"]]).dropna()
    features["price_mean"] = prices.mean() if len(prices) else 0
    features["price_std"] = prices.std(ddof=0) if len(prices) else 0
    features["price_total"] = bought["price"].sum()
    carts = set(added["timestamp"].dt.date)
    abandoned = carts - set(bought["timestamp"].dt.date)
    features["cart_abandonment"] = len(abandoned) / len(carts) if carts else 0
    for item, name in (("sku", "added_skus_bought"), ("category", "added_categories_bought")):
        wanted = set(added[item].dropna())
        features[name] = len(wanted & set(bought[item])) / len(wanted) if wanted else 0
    ago = cutoff - pd.Timedelta("1us") - events["timestamp"]
    features["active_weeks"] = (ago // pd.Timedelta("7D")).nunique()
    features["active_days"] = ago.dt.days.nunique()
    return features


def main() -> None:
    small = smoke_parser(__doc__).parse_args().small
    events, clients, share = (5_000, 100, 1) if small else (1_000_000, 20_000, 5)
    # Two weeks before the last event, at noon, so that some events must be ignored.
    cutoff = START + pd.Timedelta(days=DAYS - 14, hours=12)
    tables = simulate(events, clients)
    seen = sum(int((tables[name]["timestamp"] < cutoff).sum()) for name in KINDS)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "warehouse.duckdb"
        land(path, tables)
        ours, sql_seconds = in_sql(path, cutoff)
    theirs, pandas_seconds = in_pandas(tables, cutoff, share)
    both = [name for name in ours.columns if name in theirs.columns]
    pd.testing.assert_frame_equal(
        ours.loc[theirs.index, both], theirs[both], check_index_type=False, rtol=1e-5, atol=1e-5
    )
    ratio = pandas_seconds / sql_seconds
    measured = (
        "run on all of them"
        if share == 1
        else f"run on every {share}th client ({len(theirs):,}), time scaled to all"
    )
    report(
        "handcrafted",
        f"{len(both)} handcrafted features of {len(ours):,} clients from {seen:,} events.\n"
        f"The pandas version is naive: a Python function per client, on one core;\n"
        f"{measured}, once. The block: best of {RUNS} runs, all cores.\n"
        f"They agree on every feature of {len(theirs):,} clients to 1e-5.",
        [
            ("pandas, a Python function per client", f"{seen / pandas_seconds:,.0f} events/s"),
            ("the block, SQL in the warehouse", f"{seen / sql_seconds:,.0f} events/s"),
            ("pandas, seconds", f"{pandas_seconds:.1f}"),
            ("the block, seconds", f"{sql_seconds:.2f}"),
            ("times as fast", f"{ratio:.0f}"),
        ],
        small=small,
        events=seen,
        clients=len(ours),
        pandas_clients=len(theirs),
        sql_seconds=round(sql_seconds, 3),
        pandas_seconds=round(pandas_seconds, 2),
        sql_events_per_second=round(seen / sql_seconds),
        pandas_events_per_second=round(seen / pandas_seconds),
        ratio=round(ratio, 1),
    )


if __name__ == "__main__":
    main()
