"""What a home holds, as hashes that can be compared: all but times and the names given."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

Found = dict[str, str]
UNREADABLE = "unreadable: "
SAMPLE = range(1, 40)
DEBRIS = (".part", ".staging", ".tmp", ".unfinished", "-journal")
# Times of the run itself, and names of pages.
_TIMES = {"landed_at", "retracted_at", "known_from", "created_timestamp", "data_docs", "made_at"}
_TIMES |= {"delivered_at", "first_delivered", "last_delivered", "valid_from"}


def fingerprint(home: Path, out: Path) -> Found:
    """Describe a home and an output directory: a hash for every thing that can be read.

    Returns
    -------
    dict
        Of what cannot be read, the message, after ``UNREADABLE``.
    """
    found: Found = {}
    _add(found, "warehouse", lambda: _tables(home / "warehouse.duckdb"))
    for root in (home, out):
        for path in sorted(root.rglob("*")):
            name = f"{root.name}/{path.relative_to(root)}"
            if path.is_file() and path.suffix in _READERS and "/data_docs/" not in name:
                _add(found, name, lambda path=path: {"": _READERS[path.suffix](path)})
    _add(found, "served", lambda: _served(home))
    return found


def _add(found: Found, name: str, read: Callable[[], Found]) -> None:
    try:
        found |= {f"{name}{key}": value for key, value in read().items()}
    except Exception as error:
        found[name] = f"{UNREADABLE}{type(error).__name__} {error}"


def without_names(found: Found) -> list[str]:
    """Drop the numbers of versions, so that homes that gave other names can be compared."""
    number = re.compile(r"/(v|publishes/p)[0-9]+(?=[/.])")
    return sorted(f"{number.sub(_any_number, key)} {value}" for key, value in found.items())


def _any_number(found: re.Match[str]) -> str:
    return f"/{found[1]}N"


def debris(root: Path) -> list[str]:
    """Return what is neither state nor output: parts, staging areas, temporary files."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if ".locks" not in path.parts
        and (path.name.startswith(".") or any(word in path.name for word in DEBRIS))
    )


def _tables(path: Path) -> Found:
    if not path.exists():
        return {"": "none"}
    with duckdb.connect(path, read_only=True) as connection:
        columns = connection.execute(
            "SELECT table_name, list(column_name ORDER BY column_name) "
            "FROM information_schema.columns GROUP BY ALL"
        ).fetchall()
        found = {}
        for table, names in columns:
            kept = ", ".join(f'"{name}"' for name in names if name not in _TIMES)
            query = f'SELECT count(*), sum(hash({kept})::HUGEINT) FROM "{table}"'
            found[f"/{table}"] = str(connection.execute(query).fetchall()[0])
    return found


def _served(home: Path) -> Found:
    if not (home / "feast" / "served.json").exists():
        return {"": "none"}
    store = ProfileStore(Home(home=home))
    digest = hashlib.sha256()
    for profile in store.lookup_many(SAMPLE):
        digest.update(f"{profile.client_id} {profile.known} {profile.cutoff}".encode())
        digest.update(profile.vector.tobytes())
    return {"": digest.hexdigest()}


def _parquet(path: Path) -> str:
    table = pq.read_table(path)
    table = table.drop_columns([name for name in table.column_names if name in _TIMES])
    digest = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    if "client_id" in table.column_names and "row" not in table.column_names:
        digest.update(table.to_pandas().to_json(double_precision=15).encode())
    return digest.hexdigest()


def _bytes(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _scores(path: Path) -> str:
    """Only the sums of an evaluation: the rest of the JSON files names versions and times."""
    found = json.loads(path.read_text())
    scores = found.get("scores") if isinstance(found, dict) else None
    return json.dumps(scores["sums"]) if isinstance(scores, dict) and "sums" in scores else "JSON"


_READERS: dict[str, Callable[[Path], str]] = {
    ".parquet": _parquet,
    ".safetensors": _bytes,
    ".npy": _bytes,
    ".json": _scores,
}
