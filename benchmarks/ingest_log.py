"""Ingest of a shop's log with text ids, all event types in one CSV, plain and compressed.

Compared with DuckDB's `CREATE TABLE AS` of the same SELECTs, after it has parsed the file once.
"""

import argparse
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.arguments import count
from benchmarks.machine import PeakMemory, report
from pipelines.ingest import ingest
from ubp_platform.home import Home

LAYOUT = {
    "layout.toml": (
        'about = "a log like REES46\'s, with text ids"\n[relation.log]\nfiles = ["*.csv"]\n'
    ),
    "product_properties.sql": (
        "SELECT product_id AS sku, arg_max(category_code, event_time) AS category,\n"
        "       arg_max(price, event_time) AS price, arg_max(brand, event_time) AS name\n"
        "FROM log WHERE product_id IS NOT NULL GROUP BY product_id"
    ),
    **{
        f"{table}.sql": "SELECT user_id AS client_id, event_time AS timestamp, product_id AS sku, "
        f"price\nFROM log WHERE event_type = '{kind}'"
        for table, kind in {
            "product_buy": "purchase",
            "add_to_cart": "cart",
            "remove_from_cart": "remove",
        }.items()
    },
    "page_visit.sql": (
        "SELECT user_id AS client_id, event_time AS timestamp, product_id AS url\n"
        "FROM log WHERE event_type = 'view'"
    ),
    "search_query.sql": (
        "SELECT user_id AS client_id, event_time AS timestamp, brand AS query\n"
        "FROM log WHERE event_type = 'search'"
    ),
}
KINDS = ("view", "view", "view", "view", "view", "view", "cart", "remove", "search", "purchase")


def write(path: Path, rows: int) -> None:
    """Write a random log: in ten million rows, a million clients and 100,000 products."""
    kinds = "[" + ", ".join(f"'{kind}'" for kind in KINDS) + "]"
    with duckdb.connect() as connection:
        connection.execute(
            f"""COPY (
                SELECT strftime(
                           TIMESTAMP '2026-01-01' + to_seconds((i * 7776000 // {rows})::BIGINT),
                           '%Y-%m-%d %H:%M:%S UTC') AS event_time,
                       {kinds}[(1 + hash(i, 1) % {len(KINDS)})::BIGINT] AS event_type,
                       'P-' || lpad((hash(i, 2) % 100000)::VARCHAR, 6, '0') AS product_id,
                       'home.' || hash(i, 2) % 300 AS category_code,
                       'thing ' || hash(i, 2) % 20000 AS brand,
                       ((hash(i, 2) % 50000) / 100)::DECIMAL(10, 2) AS price,
                       'user_' || lpad((hash(i, 3) % {rows // 10 + 1})::VARCHAR, 8, '0') AS user_id
                FROM range({rows}) one(i)) TO '{path}' (FORMAT csv)"""
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=count, default=10_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        layout = place / "layout"
        layout.mkdir()
        for name, text in LAYOUT.items():
            (layout / name).write_text(text)
        found: list[tuple[str, str]] = []
        result: dict[str, float] = {}
        for packed in ("", ".gz"):
            source = place / f"source{packed}"
            source.mkdir()
            path = source / f"log.csv{packed}"
            write(path, rows)
            start = time.perf_counter()
            with duckdb.connect(place / f"bare{packed}.duckdb") as bare:
                bare.execute(
                    f"CREATE TEMP TABLE log AS FROM read_csv('{path}', all_varchar = true)"
                )
                for name, text in LAYOUT.items():
                    if name.endswith(".sql"):
                        bare.execute(f"CREATE TABLE {name[:-4]} AS {text}")
            plain = time.perf_counter() - start
            start = time.perf_counter()
            with PeakMemory() as peak:
                ingest(Home(home=place / f"home{packed}"), str(source), str(layout))
            ours = time.perf_counter() - start
            form = "packed" if packed else "plain"
            found += [
                (f"{form}: DuckDB, parsed once, CREATE TABLE AS", f"{plain:.1f} s"),
                (f"{form}: ubp ingest, all checks", f"{ours:.1f} s, {rows / ours:,.0f}/s"),
                (f"{form}: ratio of times (at most 6)", f"{ours / plain:.2f}×"),
                (f"{form}: peak memory (under 4 GB)", f"{peak.gigabytes:.2f} GB"),
            ]
            result[f"ratio_{form}"] = round(ours / plain, 2)
            result[f"peak_gb_{form}"] = round(peak.gigabytes, 2)
    result["ratio"] = result["ratio_plain"]
    report("ingest_log", f"Ingest of a log of {rows:,} rows", found, events=rows, **result)


if __name__ == "__main__":
    main()
