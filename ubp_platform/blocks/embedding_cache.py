"""A cache of text embeddings, in one SQLite file."""

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ubp_platform.errors import UBPError, first_line
from ubp_platform.files import make_directory, restrict

# Seconds to wait for another process's lock, which it holds for milliseconds.
_LOCK_TIMEOUT = 60.0


def text_key(text: str) -> bytes:
    """Hash a text to the 16 bytes that key its vector."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class EmbeddingCache:
    """Vectors keyed by a hash of their text; several processes may use a file at once.

    Use it in a ``with`` statement.

    Parameters
    ----------
    path : Path, optional
        The file, created where it is missing; without one nothing is cached.

    Examples
    --------
    >>> with EmbeddingCache() as cache:
    ...     cache.read([text_key("a text")])
    {}
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "EmbeddingCache":
        if self._path is not None:
            make_directory(self._path.parent)
            with self._errors_in_one_line():
                self._connection = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT)
                # A killed process loses nothing; a power failure may corrupt the file, which is
                # only a cache.
                self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS embedding "
                    "(text BLOB PRIMARY KEY, vector BLOB, checksum INTEGER, client INTEGER)"
                )
                # Caches of earlier releases have no checksums, or name no clients.
                for column in ("checksum", "client"):
                    with suppress(sqlite3.OperationalError):
                        self._connection.execute(
                            f"ALTER TABLE embedding ADD COLUMN {column} INTEGER"
                        )
                restrict(self._path)
        return self

    def __exit__(self, *details: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Return the undamaged vectors of these keys, each float32 of shape (width,)."""
        if self._connection is None:
            return {}
        query, cached = "SELECT vector, checksum FROM embedding WHERE text = ?", {}
        with self._errors_in_one_line():
            for key in keys:
                row = self._connection.execute(query, (key,)).fetchone()
                if row and row[1] in (None, zlib.crc32(row[0], zlib.crc32(key))):
                    cached[key] = np.frombuffer(row[0], np.float32)
        return cached

    def write(self, keys: Iterable[bytes], clients: Iterable[int], vectors: np.ndarray) -> None:
        """Store vectors, float32 of shape (n_keys, width), and whose texts they are of."""
        if self._connection is None:
            return
        rows = [
            (key, vector.tobytes(), zlib.crc32(vector.tobytes(), zlib.crc32(key)), client)
            for key, client, vector in zip(keys, clients, vectors, strict=True)
        ]
        with self._errors_in_one_line(), self._connection:
            self._connection.executemany(
                """INSERT OR REPLACE INTO embedding (text, vector, checksum, client)
                   VALUES (?, ?, ?, ?)""",
                rows,
            )

    def remove_clients(self, clients: Iterable[int]) -> None:
        """Remove the vectors of some clients, by key, and those of nobody knows whom."""
        if self._connection is None:
            return
        with self._errors_in_one_line():
            # Overwrites what it deletes.
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("CREATE TEMP TABLE gone (client INTEGER PRIMARY KEY)")
            with self._connection:
                rows = [(client,) for client in clients]
                self._connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", rows)
                self._connection.execute(
                    "DELETE FROM embedding WHERE client IS NULL "
                    "OR client IN (SELECT client FROM gone)"
                )

    @contextmanager
    def _errors_in_one_line(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise UBPError(
                f"the embedding cache {self._path} cannot be used ({first_line(error)}); if this "
                "persists, delete the file: it is created again"
            ) from error
