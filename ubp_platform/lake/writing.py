"""Writing the warehouse's events into buckets of clients, and what has landed since.

Files never change. ``lake.json``, which names them with hashes, is replaced last: whoever reads it
sees the lake before or after a write. A bucket is a range of keys, so that snapshots of buckets,
one after the other, are in the order of clients.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.engine.parcel import private_parent
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.events.schema import EVENT_CODES, EVENTS, PRODUCTS
from ubp_platform.files import temporary_directory
from ubp_platform.lake.manifest import NAME, Bucket, LakeFile, Manifest
from ubp_platform.lake.place import Place
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.casts import quoted

#: Clients in a bucket, about; one with twice as many is divided.
BUCKET_CLIENTS = 65_536
# A bucket with more files is written as one.
_MOST_FILES = 16
#: All columns of any event, with their types.
COLUMNS = {name: kind for table in EVENTS for name, kind in table.stored.items()}
# What a history reads besides events.
_TABLES = (PRODUCTS.name, "batch", "sku_key", "category_key", "url_key")

# The names of a lake's files.
_OURS = re.compile(r"write-(\d+)/[\w-]+\.parquet")


@dataclass(frozen=True)
class Written:
    """What a write did.

    Parameters
    ----------
    manifest : Manifest
    anew, appended, untouched : int
        Buckets.
    """

    manifest: Manifest
    anew: int = 0
    appended: int = 0
    untouched: int = 0


def write_lake(
    place: Place,
    warehouse: Warehouse,
    progress: ProgressFactory = logged,
    *,
    bucket_clients: int | None = None,
    anew: bool = False,
    owner: str = "",
) -> Written:
    """Bring a lake up to date with the warehouse; one that is current is left alone.

    Buckets get a file with the events of new batches. Those that lost events, as after a reverted
    batch or a forgotten client, and those that have grown to twice their size, are written anew.
    The caller keeps other writers and readers of the lake out.

    Parameters
    ----------
    place : Place
    warehouse : Warehouse
    progress : ProgressFactory
    bucket_clients : int, optional
        Clients in a bucket, about; another number than the lake has writes it anew. By default
        what it has, or :data:`BUCKET_CLIENTS`.
    anew : bool
        Trust nothing that is there.
    owner : str
        Whose lake it is.

    Raises
    ------
    DamagedFile
        If ``lake.json`` is damaged, unless the lake is written anew.
    """
    try:
        before = Manifest.read(place)
    except DamagedFile:
        if not anew:
            raise
        before = None
    size = bucket_clients or (before.bucket_clients if before else BUCKET_CLIENTS)
    kept = before if before and not anew and size == before.bucket_clients else None
    writer = _Writer(place, warehouse.connection, _number(place, before), size, owner)
    written = writer.write(kept, progress)
    # Also what a killed run has left; nothing that is not ours.
    named = {file.name for file in written.manifest.files}
    place.remove([name for name in place.names() if _OURS.fullmatch(name) and name not in named])
    place.clear_debris()
    return written


def remove_lake(place: Place) -> None:
    """Remove all files of a lake, also of one that was never finished, and no others."""
    place.remove([name for name in place.names() if name == NAME or _OURS.fullmatch(name)])
    place.clear_debris()


def _number(place: Place, before: Manifest | None) -> int:
    """Return a number that no file of the lake has in its name."""
    used = [int(found[1]) for name in place.names() if (found := _OURS.fullmatch(name))]
    return max([before.number if before else 0, *used]) + 1


class _Writer:
    """One write."""

    def __init__(
        self,
        place: Place,
        connection: duckdb.DuckDBPyConnection,
        number: int,
        size: int,
        owner: str,
    ) -> None:
        self._place, self._connection = place, connection
        self._number, self._size, self._owner = number, size, owner
        self._files = 0

    def write(self, before: Manifest | None, progress: ProgressFactory) -> Written:
        batches = self._batches()
        kept = before.buckets if before else []
        if before and any(batches.get(name, at) != at for name, at in before.batches.items()):
            kept = []  # a batch of another warehouse
        ranges = self._ranges(kept)
        tables = self._tables(before.tables if before else {})
        planned = [(one.files, one.events) for one, _ in ranges]
        there = [(one.files, one.events) for one in kept]
        unchanged = planned == there and not any(new for _, new in ranges)
        if before and unchanged and tables == before.tables:
            return Written(before, untouched=len(kept))
        buckets: list[Bucket] = []
        counts = {"anew": 0, "appended": 0, "untouched": 0}
        events = sum(sum(new.values()) for _, new in ranges)
        ends = [one.first for one, _ in ranges[1:]]
        with progress("lake", events, "events") as advance:
            for (bucket, new), end in zip(ranges, [*ends, None], strict=True):
                only = [int(batch) for batch in new] if bucket.files else None
                first = bucket.first if buckets else None
                added = [self._bucket(first, end, only)] if new else []
                counts["untouched" if not new else "appended" if bucket.files else "anew"] += 1
                buckets.append(
                    bucket.model_copy(
                        update={
                            "files": [*bucket.files, *added],
                            "events": {**bucket.events, **new},
                        }
                    )
                )
                advance(sum(new.values()))
        manifest = Manifest(
            number=self._number,
            owner=self._owner,
            bucket_clients=self._size,
            batches=batches,
            buckets=buckets,
            tables=tables,
        )
        manifest.write(self._place)
        return Written(manifest, **counts)

    def _batches(self) -> dict[str, str]:
        rows = self._connection.execute("SELECT batch_id, landed_at FROM batch").fetchall()
        return {str(batch): at.isoformat() for batch, at in rows}

    def _ranges(self, kept: Sequence[Bucket]) -> list[tuple[Bucket, dict[str, int]]]:
        """Return the buckets there will be, and the events to be written of each, by batch.

        A bucket without files is written anew.
        """
        parts = " UNION ALL ".join(f"SELECT client_id, batch_id FROM {one.name}" for one in EVENTS)
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE lake_client AS
                SELECT client_id, batch_id, count(*) AS events FROM ({parts})
                GROUP BY ALL ORDER BY client_id"""
        )
        try:
            if not self._connection.execute("FROM lake_client LIMIT 1").fetchall():
                raise UBPError("the warehouse holds no events: run `ubp ingest SOURCE` first")
            found = [one.first for one in kept] or self._divided(None, None)
            counts = self._counts(found)
            ends = [*found[1:], None]
            divided = [
                self._divided(None if n == 0 else first, end)
                if counts[n][0] >= 2 * self._size
                else [first]
                for n, (first, end) in enumerate(zip(found, ends, strict=True))
            ]
            firsts = [first for several in divided for first in several]
            if len(firsts) != len(found):
                counts = self._counts(firsts)
            before = {one.first: one for one in kept}
            for several in divided:
                if len(several) > 1:
                    before.pop(several[0], None)
            return [
                self._planned(before.get(first), first, clients, events)
                for first, (clients, events) in zip(firsts, counts, strict=True)
            ]
        finally:
            self._connection.execute("DROP TABLE lake_client")

    def _planned(
        self, before: Bucket | None, first: int, clients: int, events: dict[str, int]
    ) -> tuple[Bucket, dict[str, int]]:
        if before:
            new = {name: n for name, n in events.items() if name not in before.events}
            old = {name: n for name, n in events.items() if name in before.events}
            if old == before.events and len(before.files) + bool(new) <= _MOST_FILES:
                return before.model_copy(update={"clients": clients}), new
        return Bucket(first=first, clients=clients, events={}, files=[]), events

    def _divided(self, first: int | None, end: int | None) -> list[int]:
        """Divide a range into buckets; return the first client of each."""
        rows = self._connection.execute(
            """WITH client AS (
                   SELECT DISTINCT client_id FROM lake_client
                   WHERE client_id >= coalesce($first, client_id)
                         AND client_id < coalesce($end::HUGEINT, client_id::HUGEINT + 1)),
               numbered AS (
                   SELECT client_id,
                          (row_number() OVER (ORDER BY client_id) - 1)
                          // ceil(count(*) OVER () / ceil(count(*) OVER () / $size))::BIGINT
                          AS bucket
                   FROM client)
               SELECT min(client_id) FROM numbered GROUP BY bucket ORDER BY bucket""",
            {"first": first, "end": end, "size": self._size},
        ).fetchall()
        return [found for (found,) in rows]

    def _counts(self, firsts: Sequence[int]) -> list[tuple[int, dict[str, int]]]:
        """Count the clients and, by batch, the events of each bucket."""
        starts = np.array(firsts, np.int64)
        starts[0] = np.iinfo(np.int64).min
        given = pa.table({"start": starts, "bucket": np.arange(len(firsts))})
        self._connection.register("lake_bucket", given)
        rows = self._connection.execute(
            """WITH placed AS (FROM lake_client ASOF JOIN lake_bucket ON client_id >= start),
                    client AS (SELECT bucket, count(DISTINCT client_id) AS clients FROM placed
                               GROUP BY bucket)
               SELECT bucket, clients, batch_id, sum(events)::BIGINT
               FROM placed JOIN client USING (bucket) GROUP BY ALL ORDER BY bucket, batch_id"""
        ).fetchall()
        self._connection.unregister("lake_bucket")
        found: list[tuple[int, dict[str, int]]] = [(0, {}) for _ in firsts]
        for bucket, clients, batch, events in rows:
            found[bucket] = (clients, {**found[bucket][1], str(batch): events})
        return found

    def _bucket(self, first: int | None, end: int | None, batches: list[int] | None) -> LakeFile:
        """Write the events of a range of clients, sorted by client and time."""
        conditions = ["true"]
        conditions += [f"client_id >= {first:d}"] if first is not None else []
        conditions += [f"client_id < {end:d}"] if end is not None else []
        conditions += [f"batch_id IN ({', '.join(map(str, batches))})"] if batches else []
        parts = " UNION ALL BY NAME ".join(
            f"""SELECT {EVENT_CODES[one.name]}::TINYINT AS event_type, {", ".join(one.stored)},
                       batch_id FROM {one.name} WHERE {" AND ".join(conditions)}"""
            for one in EVENTS
        )
        columns = ", ".join(("event_type", *COLUMNS, "batch_id"))
        query = f"""SELECT {columns} FROM ({parts})
                    ORDER BY client_id, timestamp, event_type, sku, url, batch_id"""
        self._files += 1
        name = self._name(f"bucket-{self._files}")
        with self._place.writing(name) as path:
            return self._copy(query, path, name)

    def _name(self, stem: str) -> str:
        return f"write-{self._number}/{stem}.parquet"

    def _copy(self, query: str, path: Path, name: str) -> LakeFile:
        rows = self._connection.execute(
            f"COPY ({query}) TO {quoted(path)} (FORMAT PARQUET, COMPRESSION ZSTD)"
        ).fetchall()
        return LakeFile.of(path, name, int(rows[0][0]))

    def _tables(self, before: Mapping[str, LakeFile]) -> dict[str, LakeFile]:
        """Write those tables that are not what there is."""
        found = {}
        with temporary_directory(private_parent()) as directory:
            for table in _TABLES:
                path, name = directory / table, self._name(table)
                file = self._copy(f"FROM {table} ORDER BY ALL", path, name)
                known = before.get(table)
                if known and known.sha256 == file.sha256:
                    found[table] = known
                    continue
                with self._place.writing(name) as target:
                    shutil.copyfile(path, target)
                found[table] = file
        return found
