"""What does it cost that the log knows when events became known, and from when prices hold?

    python -m benchmarks.two_times            # ten minutes on two cores
    python -m benchmarks.two_times --small    # seconds, as a smoke test

The baseline is a log in 30 deliveries whose products never change. It is compared with the same log
where each hundredth event says itself that it became known later, and each twentieth product has
changed its price: as known by now, and as delivered. Features and counters are fitted and encoded,
and the sequences that neural networks read are made. The ratio is that of the slower one.
"""

import tempfile
import time
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.arguments import smoke_parser
from benchmarks.handcrafted import DAYS, START, simulate
from benchmarks.machine import report
from ubp_platform.blocks.counters import Counters
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known

RUNS, BATCHES = 3, 30
CUTOFF = START + pd.Timedelta(days=DAYS - 20)


def main() -> None:
    small = smoke_parser(__doc__).parse_args().small
    events, clients = (200_000, 2000) if small else (20_000_000, 200_000)
    tables = simulate(events, clients)
    with tempfile.TemporaryDirectory() as directory:
        plain, timed = (Path(directory) / name for name in ("plain.duckdb", "timed.duckdb"))
        land(plain, tables)
        land(timed, with_times(tables))
        cutoff = CUTOFF.to_pydatetime().replace(tzinfo=UTC)
        cases = {
            "plain": (plain, EVERYTHING),
            "restated": (timed, EVERYTHING),
            "as delivered": (timed, Known(delivered_before=cutoff)),
        }
        seconds = {name: [] for name in cases}
        for _ in range(RUNS):  # in turns, so that a noisy minute hits all
            for name, (path, known) in cases.items():
                start = time.perf_counter()
                read(path, known)
                seconds[name].append(time.perf_counter() - start)
        best = {name: min(values) for name, values in seconds.items()}
        size = timed.stat().st_size / plain.stat().st_size
    ratios = {name: value / best["plain"] for name, value in best.items()}
    report(
        "two_times",
        f"Features, counters and sequences of {events:,} events in {BATCHES} deliveries:\n"
        f"best of {RUNS} runs",
        [(name, f"{value:.2f} s, {ratios[name]:.3f}") for name, value in best.items()]
        + [("size of the warehouse", f"{size:.3f}")],
        ratio=round(max(ratios["restated"], ratios["as delivered"]), 3),
        restated=round(ratios["restated"], 3),
        as_delivered=round(ratios["as delivered"], 3),
        size=round(size, 3),
    )


def with_times(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Say of some events when they became known, and change some prices."""
    timed = {}
    for name, frame in tables.items():
        if name in EVENT_TYPES:
            late = frame["timestamp"] + pd.Timedelta("3D")
            timed[name] = frame.assign(delivered_at=late.where(np.arange(len(frame)) % 100 == 0))
    products = tables["product_properties"]
    changed = products.iloc[::20].assign(price=7, valid_from=START + pd.Timedelta("30D"))
    return {**timed, "product_properties": pd.concat([products, changed], ignore_index=True)}


def land(path: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write events as batches, each delivered a day after its last event."""
    days = DAYS / BATCHES
    with Warehouse(path, write=True) as warehouse:
        run = warehouse.connection.execute
        for batch in range(1, BATCHES + 1):
            end = START + pd.Timedelta(days=batch * days + 1)
            run(
                """INSERT INTO batch (batch_id, source, landed_at, delivered_at)
                   VALUES (?, '', ?, ?)""",
                [batch, end, end],
            )
        for name, frame in tables.items():
            warehouse.connection.register("rows", frame)
            columns = ", ".join(frame.columns)
            batch = (
                f"1 + date_diff('second', TIMESTAMP '{START}', timestamp) // {int(days * 86400)}"
            )
            order = "batch_id, client_id, timestamp"
            if name not in EVENT_TYPES:
                batch, order = "1", "sku"
            run(
                f"""INSERT INTO {name} ({columns}, batch_id)
                    SELECT {columns}, {batch} AS batch_id FROM rows ORDER BY {order}"""
            )
            warehouse.connection.unregister("rows")


def read(path: Path, known: Known) -> None:
    """Do what fits and encodings do."""
    cutoff = CUTOFF.to_pydatetime().replace(tzinfo=UTC)
    with Warehouse(path) as warehouse:
        history = warehouse.history(cutoff, known=known)
        Handcrafted().encode(history)
        Counters().fit(history).encode(history)
        words = {"sku": history.vocabulary("sku", 1000), "day": history.vocabulary("day")}
        history.sequences(words, last=64)


if __name__ == "__main__":
    main()
