"""What `ubp refresh && ubp publish` costs, and what it loses, where few clients are active.

    python -m benchmarks.refresh                       # 1% of a log of the challenge's size
    python -m benchmarks.refresh --scale 0.1
    python -m benchmarks.refresh --age                 # what profiles of up to a week cost in AUROC

The cost: a day is delivered in which 5% of the clients act. The baseline is a full encoding and
publish of the same home. The clients that are written are counted, too.

The loss: profiles of clients who did nothing are up to some days old. A logistic regression for
"buys in the next 14 days", fitted two weeks earlier, reads them and, as the baseline, profiles that
were all encoded at the cutoff. It is fitted on profiles that were all encoded then, or on such as
are served, with the same ages.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.machine import report
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.train import train
from ubp_platform.blocks.snapshot import iterate
from ubp_platform.home import Home
from ubp_platform.profile.aligning import recent_and_next
from ubp_platform.profile.listing import get_version
from ubp_platform.progress import bars
from ubp_platform.simulation import challenge, simulator
from ubp_platform.store.online import OnlineStore
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse

ACTIVE = 0.05
#: Days since everybody was encoded; with the default `--max-age` of 7 days there are at most 6.
AGES = (1, 3, 6)
DAY, FORTNIGHT = timedelta(days=1), timedelta(days=14)
#: The simulated log ends at this midnight.
END = parse_time("2022-11-28")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=0.01, help="of the challenge's log")
    parser.add_argument("--age", action="store_true", help="measure what old profiles cost")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refresh-") as directory:
        (_loss if options.age else _cost)(Path(directory), options.scale)


def _cost(directory: Path, scale: float) -> None:
    progress = bars(Console(stderr=True))
    plan = challenge.plan("challenge", scale, None, None)
    simulator.simulate(directory / "shop", **vars(plan), seed=0, progress=progress)
    active = _split(directory / "shop", directory / "before", directory / "day")
    home = Home(directory / "home")
    ingest(home, str(directory / "before"), progress=progress)
    train(home, cutoff=END - DAY, progress=progress)
    publish(home, progress=progress)
    ingest(home, str(directory / "day"), progress=progress)
    whole = Home(shutil.copytree(home.root, directory / "whole"))
    runs: dict[str, tuple[float, int]] = {}
    steps: dict[str, tuple[Home, Callable[..., object]]] = {
        "encode and publish": (whole, lambda home: encode(home, [END], progress=progress)),
        "refresh and publish": (home, lambda home: refresh(home, cutoff=END, progress=progress)),
    }
    for name, (place, step) in steps.items():
        start = time.perf_counter()
        step(place)
        encoded = time.perf_counter() - start
        written = _publish_counting(place)
        print(f"{name}: {encoded:.1f} s of {time.perf_counter() - start:.1f} s before publishing")
        runs[name] = (time.perf_counter() - start, written)
    (slow, all_rows), (fast, rows) = runs.values()
    report(
        "refresh",
        f"A day in which {ACTIVE:.0%} of the clients act, at {scale:g} of the challenge's log",
        [
            ("clients who act", f"{active:,}"),
            ("encode and publish", f"{slow:.1f} s, {all_rows:,} rows written"),
            ("refresh and publish", f"{fast:.1f} s, {rows:,} rows written"),
            ("ratio", f"{fast / slow:.3f} of the time, {rows / all_rows:.3f} of the rows"),
        ],
        scale=scale,
        time=round(fast / slow, 4),
        written=round(rows / all_rows, 4),
    )


def _split(source: Path, before: Path, day: Path) -> int:
    """Cut the last day off, and leave only a part of the clients in it; return how many."""
    for directory in (before, day):
        directory.mkdir()
    last = f"TIMESTAMP '{END - DAY:%Y-%m-%d}'"
    some = f"hash(client_id) % 1000 < {ACTIVE * 1000:.0f}"
    for path in source.glob("*.parquet"):
        if path.stem == "product_properties":
            shutil.copy(path, before)
            continue
        for directory, rows in (
            (before, f"timestamp < {last}"),
            (day, f"timestamp >= {last} AND {some}"),
        ):
            out = directory / path.name
            duckdb.sql(f"FROM read_parquet('{path}') WHERE {rows}").write_parquet(str(out))
    # On one day few act: to have this part of all clients, each buys something.
    events = " UNION ALL ".join(
        f"SELECT client_id FROM read_parquet('{path}') WHERE {some}"
        for path in before.glob("*.parquet")
        if path.stem != "product_properties"
    )
    sku = f"(SELECT any_value(sku) FROM read_parquet('{before}/product_buy.parquet'))"
    duckdb.sql(
        f"""FROM read_parquet('{day}/product_buy.parquet') UNION ALL BY NAME
            SELECT DISTINCT client_id, {last} + INTERVAL 12 HOUR AS timestamp, {sku} AS sku
            FROM ({events})"""
    ).write_parquet(str(day / "more.parquet"))
    (day / "more.parquet").rename(day / "product_buy.parquet")
    return len(duckdb.sql(f"SELECT DISTINCT client_id FROM '{day}/product_buy.parquet'"))


def _publish_counting(home: Home) -> int:
    """Publish, and return the number of profiles that are written."""
    written, real = 0, OnlineStore.write

    def write(store: OnlineStore, view: object, client_ids: list[int], *others: object) -> None:
        nonlocal written
        written += len(client_ids)
        real(store, view, client_ids, *others)  # type: ignore[arg-type]

    OnlineStore.write = write  # type: ignore[method-assign, assignment]
    try:
        publish(home)
    finally:
        OnlineStore.write = real  # type: ignore[method-assign]
    return written


def _loss(directory: Path, scale: float) -> None:
    """Compare fresh profiles with those of refreshes after some days."""
    del scale
    table, loss = [], {}
    for name, end in (("Complete Journey", "2017-12-18"), ("simulated shop", "2022-11-14")):
        progress = bars(Console(stderr=True))
        home = Home(directory / name.replace(" ", "_"))
        source, at = "completejourney", parse_time(end)
        if name == "simulated shop":
            source = str(directory / "shop")
            simulator.simulate(Path(source), 12_000, 100, progress=progress)
        ingest(home, source, progress=progress)
        train(home, cutoff=at - 2 * FORTNIGHT, progress=progress)
        times = [at - FORTNIGHT, at]
        places = {0: Home(shutil.copytree(home.root, directory / f"{home.root.name}_fresh"))}
        encode(places[0], times, progress=progress)
        for days in AGES:
            place = Home(shutil.copytree(home.root, directory / f"{home.root.name}_{days}"))
            for time_ in times:
                encode(place, [time_ - timedelta(days=days)], progress=progress)
                done = refresh(place, cutoff=time_, progress=progress)
                print(f"{name}, {days} days: {done.clients:,} new, {done.others:,} keep theirs")
            places[days] = place
        with Warehouse(home.warehouse) as warehouse:
            heads = {days: _head(warehouse, place, times[0]) for days, place in places.items()}
            fresh = _score(warehouse, places[0], at, heads[0])
            table.append((name, f"{fresh:.4f} fresh"))
            for days in AGES:
                old = _score(warehouse, places[days], at, heads[0]) - fresh
                same = _score(warehouse, places[days], at, heads[days]) - fresh
                label = f"up to {days} days old"
                table.append((label, f"{old:+.4f}; {same:+.4f} where the model was fitted on such"))
                loss[f"{name}, {days} days"] = [round(-old, 5), round(-same, 5)]
    report(
        "refresh_age",
        "AUROC of 'buys in the next 14 days', profiles of some days",
        table,
        loss=loss,
    )


def _head(warehouse: Warehouse, home: Home, at: datetime) -> LogisticRegression:
    """Fit a model on each client's newest profile."""
    ids, vectors = _rows(home, at)
    return LogisticRegression(max_iter=2000).fit(vectors, _labels(warehouse, ids, at))


def _score(warehouse: Warehouse, home: Home, at: datetime, head: LogisticRegression) -> float:
    ids, vectors = _rows(home, at)
    return float(roc_auc_score(_labels(warehouse, ids, at), head.predict_proba(vectors)[:, 1]))


def _rows(home: Home, at: datetime) -> tuple[np.ndarray, np.ndarray]:
    """Return each client's newest profile that is not after a time."""
    newest: dict[int, np.ndarray] = {}
    for file in get_version(home, "v1").snapshots:
        if file.cutoff <= at:
            for ids, vectors in iterate(file.path):
                newest |= dict(zip(ids.tolist(), vectors.copy(), strict=True))
    ids = np.array(sorted(newest))
    return ids, np.stack([newest[one] for one in ids.tolist()])


def _labels(warehouse: Warehouse, ids: np.ndarray, at: datetime) -> np.ndarray:
    *_, following = recent_and_next(warehouse, ids, at, at + FORTNIGHT).values()
    return following


if __name__ == "__main__":
    main()
