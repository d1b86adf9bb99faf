"""What workers do with a bucket of clients: encode blocks, or compute whole profiles."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.features import FeatureBlock
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.engine.parcel import Parcel, private_directory
from ubp_platform.home import Home
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.opening import update_lake
from ubp_platform.lake.place import Place
from ubp_platform.lake.reading import BucketHistory, LakeReader
from ubp_platform.profile.encoder import ProfileEncoder, Profiles, compute_profiles
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged, silent
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import Known
from ubp_platform.warehouse.history import CLIENTS_PER_SLICE, History, query_text

# Up to so many clients, and events to look through for them, buckets are worked on together: a
# slice of few clients costs as much as one of thousands.
_CLIENTS, _EVENTS = CLIENTS_PER_SLICE, 5_000_000


@dataclass(frozen=True)
class BucketItem:
    """Clients of a bucket, or of several that follow each other.

    Parameters
    ----------
    first, last : int
        The buckets.
    clients : ndarray of int64, optional
        Ascending; by default all of the buckets.
    blocks : tuple of str
        The blocks to encode, where not whole profiles are computed.
    """

    first: int
    last: int
    clients: np.ndarray | None
    blocks: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.first == self.last:
            return f"bucket {self.first} of the lake"
        return f"buckets {self.first} to {self.last} of the lake"


@dataclass(frozen=True)
class BucketSource:
    """The history of a bucket, and the part of the home that encodes it.

    Parameters
    ----------
    place : str
        The lake.
    manifest : Manifest
    parcel : Parcel
        The fits.
    cutoff : datetime
    known : Known
    counted : mapping of str to pyarrow.Table
        What is counted over all clients.
    """

    place: str
    manifest: Manifest
    parcel: Parcel
    cutoff: datetime
    known: Known
    counted: Mapping[str, pa.Table] = field(repr=False)

    @classmethod
    def of(
        cls,
        home: Home,
        warehouse: Warehouse,
        history: History,
        known: Known,
        fits: Sequence[FittedBlock],
        progress: ProgressFactory = logged,
    ) -> Self:
        """Bring the lake up to date, and collect what workers need besides.

        Parameters
        ----------
        home : Home
            Frozen.
        warehouse : Warehouse
        history : History
            Of all clients.
        known : Known
            As of the history.
        fits : sequence of FittedBlock
        progress : ProgressFactory
        """
        place, manifest = update_lake(home, warehouse, progress)
        counted = {name: history.query(query_text(name)) for name in _counted(fits)}
        parcel = Parcel.of(home, [fit.directory for fit in fits])
        return cls(place.url, manifest, parcel, history.cutoff, known, counted)

    def items(self, clients: np.ndarray | None) -> list[BucketItem]:
        """Divide the buckets that have some of these clients into items; all by default."""
        buckets = self.manifest.buckets
        parts = None if clients is None else self.manifest.split(clients)
        sizes = [one.clients for one in buckets] if parts is None else list(map(len, parts))
        some = np.flatnonzero(sizes)
        counts = np.array(sizes, np.float64)[some]
        events = sum(buckets[number].rows for number in some)
        groups = max(math.ceil(counts.sum() / _CLIENTS), math.ceil(events / _EVENTS), 1)
        # Each of about as many clients.
        places = (np.cumsum(counts) - counts / 2) * groups // max(counts.sum(), 1)
        found = np.split(some, np.flatnonzero(np.diff(places)) + 1) if len(some) else []
        return [
            BucketItem(
                int(numbers[0]),
                int(numbers[-1]),
                None if parts is None else np.concatenate([parts[one] for one in numbers]),
            )
            for numbers in found
        ]

    def clients(self, item: BucketItem) -> int:
        """Return the number of an item's clients, about."""
        if item.clients is None:
            return sum(one.clients for one in self.manifest.buckets[item.first : item.last + 1])
        return len(item.clients)

    @cached_property
    def _reader(self) -> LakeReader:
        return LakeReader(Place(self.place), self.manifest)

    @cached_property
    def scratch(self) -> Path:
        """A directory for caches of this process."""
        return private_directory()

    @contextmanager
    def history(self, item: BucketItem) -> Iterator[BucketHistory]:
        """Open the history of an item's clients."""
        opened = self._reader.open(item.first, item.last, item.clients)
        history = opened.history(self.cutoff, item.clients, self.known, self.counted)
        try:
            yield history
        finally:
            history.close()


def _counted(fits: Sequence[FittedBlock]) -> list[str]:
    """Name the queries that count over all clients, of feature blocks."""
    classes = [block_class(fit.name) for fit in fits]
    names = (one.counted for one in classes if issubclass(one, FeatureBlock))
    return sorted({name for some in names for name in some})


@dataclass(frozen=True)
class EncodeBuckets:
    """Encodes fitted blocks.

    Parameters
    ----------
    source : BucketSource
    fits : mapping of str to tuple of str
        The version and the hash of each block's fit.
    """

    source: BucketSource
    fits: Mapping[str, tuple[str, str]]

    @cached_property
    def _blocks(self) -> dict[str, Block]:
        catalog, found = Catalog(self.source.parcel.home), {}
        for name, (version, fit) in self.fits.items():
            found[name] = catalog.get(name, version, fit).load()
            found[name].scratch = self.source.scratch
        return found

    def __call__(self, item: BucketItem) -> dict[str, Snapshot]:
        """Encode; blocks without a client are left out."""
        found: dict[str, list[Snapshot]] = {name: [] for name in item.blocks}
        with self.source.history(item) as history:
            for count, part in history.slices():
                for name in item.blocks if count else ():
                    found[name].append(self._blocks[name].encode(part, silent))
        whole = {name: _joined(parts) for name, parts in found.items() if parts}
        return {name: one for name, one in whole.items() if len(one.client_ids)}


def _joined(parts: Sequence[Snapshot]) -> Snapshot:
    return Snapshot(
        parts[0].cutoff,
        np.concatenate([one.client_ids for one in parts]),
        np.concatenate([one.vectors for one in parts]),
        parts[0].names,
    )


@dataclass(frozen=True)
class ProfileBuckets:
    """Computes whole profiles.

    Parameters
    ----------
    source : BucketSource
    versions : sequence of ProfileVersion
        A version, then aligned versions that map it.
    """

    source: BucketSource
    versions: Sequence[ProfileVersion]

    def __post_init__(self) -> None:
        for version in self.versions:
            version.load_all()

    @cached_property
    def _encoders(self) -> list[ProfileEncoder]:
        home, scratch = self.source.parcel.home, self.source.scratch
        return [ProfileEncoder(home, one, scratch) for one in self.versions]

    def __call__(self, item: BucketItem) -> list[Profiles]:
        """Compute the profiles of each slice of the item's clients."""
        with self.source.history(item) as history:
            return list(compute_profiles(self._encoders, history))
