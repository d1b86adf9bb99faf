"""``lake.json``: what a lake holds, file by file with hashes."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from ubp_platform import sealed
from ubp_platform.errors import DamagedFile
from ubp_platform.lake.place import Place

NAME = "lake.json"
CURE = "`ubp lake --anew` writes the lake again"


class LakeFile(BaseModel, frozen=True):
    """A file of the lake.

    Parameters
    ----------
    name : str
        Relative to the place.
    rows, bytes : int
    sha256 : str
    """

    name: str
    rows: int
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path, name: str, rows: int) -> "LakeFile":
        """Describe a file that has been written."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(name=name, rows=rows, bytes=path.stat().st_size, sha256=digest)

    def check(self, path: Path) -> None:
        """Raise DamagedFile if a file is not what was written."""
        if LakeFile.of(path, self.name, self.rows) != self:
            raise DamagedFile(f"{path} is damaged: {CURE}")


class Bucket(BaseModel, frozen=True):
    """The events of a range of clients.

    Parameters
    ----------
    first : int
        The key of the first client; the bucket ends where the next one begins. Whoever comes before
        the first bucket belongs to it.
    clients : int
        Clients with an event when it was written.
    events : dict of str to int
        By batch.
    files : list of LakeFile
        One, and one for each later delivery until they are merged.
    """

    first: int
    clients: int
    events: dict[str, int]
    files: list[LakeFile]

    @property
    def rows(self) -> int:
        """The number of events."""
        return sum(self.events.values())


class Manifest(BaseModel, frozen=True):
    """What a lake holds.

    Parameters
    ----------
    layout : int
    owner : str
        What the home that writes it calls it, where it lies elsewhere.
    number : int
        Raised with each write, and part of the names of its files.
    bucket_clients : int
        About how many clients a bucket has.
    batches : dict of str to str
        When each batch landed, which tells it from another one of that number.
    buckets : list of Bucket
        In the order of clients.
    tables : dict of str to LakeFile
        What every bucket needs: products, batches, words of keys.
    """

    layout: int = 1
    owner: str = ""
    number: int = 0
    bucket_clients: int
    batches: dict[str, str] = {}
    buckets: list[Bucket] = []
    tables: dict[str, LakeFile] = {}

    @property
    def files(self) -> list[LakeFile]:
        """All files."""
        return [*(one for bucket in self.buckets for one in bucket.files), *self.tables.values()]

    @property
    def events(self) -> int:
        """The number of all events."""
        return sum(bucket.rows for bucket in self.buckets)

    @cached_property
    def firsts(self) -> np.ndarray:
        """The first client of each bucket, int64."""
        return np.array([bucket.first for bucket in self.buckets], np.int64)

    def split(self, clients: np.ndarray) -> list[np.ndarray]:
        """Split clients, ascending, by bucket."""
        return np.split(clients, np.searchsorted(clients, self.firsts[1:]))

    def write(self, place: Place) -> None:
        """Replace ``lake.json``."""
        with place.writing(NAME) as path:
            path.write_text(sealed.sealed_json(self), "utf-8")

    @classmethod
    def read(cls, place: Place) -> "Manifest | None":
        """Read ``lake.json``; None if there is none.

        Raises
        ------
        DamagedFile
            If it is damaged.
        """
        try:
            with place.reading(NAME) as path:
                if not path.exists():
                    return None
                return sealed.read_json(path, cls, CURE)
        except FileNotFoundError:
            return None
