"""Deliveries in the ``challenge`` layout, good and broken."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.shops import random_shop


def purchases(rows: int = 100, **columns: object) -> pd.DataFrame:
    """Make distinct purchases, one hour apart."""
    frame = pd.DataFrame(
        {
            "client_id": np.arange(rows) % 10,
            "timestamp": pd.Timestamp("2022-06-01") + pd.to_timedelta(np.arange(rows), unit="h"),
            "sku": np.arange(rows) % 7,
        }
    )
    return frame.assign(**columns)


def queries(texts: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "client_id": range(len(texts)),
            "timestamp": "2022-06-01 10:00:00",
            "query": texts,
        }
    )


def as_text(codes: object) -> str:
    return "[" + " ".join(map(str, codes)) + "]"  # type: ignore[call-overload]


def deliver(directory: Path, suffix: str = ".parquet", **tables: pd.DataFrame) -> Path:
    """Write tables as files; codes become text in CSV, as in the challenge."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        path = directory / f"{name}{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path)
        else:
            codes = frame.columns.intersection(["name", "query"])
            written = frame.assign(**{c: frame[c].map(as_text) for c in codes})
            written.to_csv(path, index=False)
    return directory


def layout(directory: Path, *settings: str, **queries: str) -> str:
    """Write a layout that reads CSV files as the relation `rows`; return its path."""
    directory.mkdir()
    lines = ['about = "mine"', 'time_zone = "UTC"', *settings]
    lines += ["[relation.rows]", 'files = ["*.csv"]']
    (directory / "layout.toml").write_text("\n".join(lines) + "\n")
    for table, query in queries.items():
        (directory / f"{table}.sql").write_text(query)
    return str(directory)


def deliver_shop(directory: Path, suffix: str = ".parquet", **arguments: int) -> Path:
    """Write a complete random shop."""
    return deliver(directory, suffix, **random_shop(**arguments))
