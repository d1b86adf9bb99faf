"""Layouts for tests."""

from pathlib import Path

TOML = """about = "A shop of our own"
time_zone = "UTC"

[relation.buys]
files = ["**/*.csv"]
columns = ["client_id"]
"""


def write_layout(directory: Path, toml: str = TOML, **queries: str) -> Path:
    """Write a layout's directory."""
    directory.mkdir()
    (directory / "layout.toml").write_text(toml, "utf-8")
    for table, query in queries.items():
        (directory / f"{table}.sql").write_text(query, "utf-8")
    return directory
