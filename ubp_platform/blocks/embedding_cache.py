"""Vectors of texts that were embedded before, in one SQLite file."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ubp_platform.errors import UBPError, first_line

# A writer holds the lock for milliseconds.
_PATIENCE = 60.0


def text_key(text: str) -> bytes:
    """Hash a text to the 16 bytes under which its vector is kept."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class EmbeddingCache:
    """Vectors by the hash of their text; several processes may use a file at once.

    Use it in a ``with`` statement.

    Parameters
    ----------
    path : Path, optional
        The file, made where it is missing; without one nothing is kept.

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
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._readable():
                self._connection = sqlite3.connect(self._path, timeout=_PATIENCE)
                # Killing the process loses nothing written; losing power may break the file,
                # which can be made again.
                self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS embedding (text BLOB PRIMARY KEY, vector BLOB)"
                )
        return self

    def __exit__(self, *details: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Give the vectors that are known.

        Parameters
        ----------
        keys : iterable of bytes

        Returns
        -------
        dict of bytes to ndarray of float32, shape (width,)
        """
        if self._connection is None:
            return {}
        query, known = "SELECT vector FROM embedding WHERE text = ?", {}
        with self._readable():
            for key in keys:
                if row := self._connection.execute(query, (key,)).fetchone():
                    known[key] = np.frombuffer(row[0], np.float32)
        return known

    def write(self, keys: Iterable[bytes], vectors: np.ndarray) -> None:
        """Keep vectors, at once and for good.

        Parameters
        ----------
        keys : iterable of bytes
        vectors : ndarray of float32, shape (n_keys, width)
        """
        if self._connection is None:
            return
        rows = [(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        with self._readable(), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO embedding VALUES (?, ?)", rows)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise UBPError(
                f"the cache of embeddings {self._path} cannot be used ({first_line(error)}); "
                "if that lasts, delete the file: it is made again"
            ) from error
