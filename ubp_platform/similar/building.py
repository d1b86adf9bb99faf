"""Making the indexes of a profile version, and keeping them up to date."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from ubp_platform.blocks.snapshot import client_keys, thinned
from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import atomic_file, make_directory
from ubp_platform.profile.encoding import known_then
from ubp_platform.profile.named_snapshots import NamedSnapshot, find_snapshots
from ubp_platform.profile.newest import Changes, changes_between, newest_profiles
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory
from ubp_platform.similar.collecting import facts_of
from ubp_platform.similar.directory import (
    SimilarDescription,
    SimilarDirectory,
    StoredFile,
    StoredIndex,
)
from ubp_platform.similar.facts import Facts
from ubp_platform.similar.plane import SAMPLE, Plane
from ubp_platform.similar.vectors import Part, VectorIndex
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import EVERYTHING


@dataclass(frozen=True)
class Built:
    """What was made.

    Parameters
    ----------
    description : SimilarDescription
    written : int
        Clients whose rows are new; 0 if all was up to date.
    """

    description: SimilarDescription
    written: int


class Builder:
    """Makes the indexes of one version of given snapshots.

    Parameters
    ----------
    version : ProfileVersion
    publish : str
        The publish that these profiles are of; empty if none.
    files : sequence of SnapshotFile
        Oldest cutoff first.
    engine : Engine
        Where vectors are put into groups and coded.
    """

    def __init__(
        self,
        version: ProfileVersion,
        publish: str,
        files: Sequence[SnapshotFile],
        engine: Engine = HERE,
    ) -> None:
        self._version, self._publish, self._files = version, publish, files
        self._engine = engine
        self._directory = SimilarDirectory(version)
        # What there was, as far as it can be read; and the same if all of it is whole.
        self._known = self._before = None
        try:
            self._known = self._directory.read()
            self._directory.check()
            self._before = self._known
        except DamagedFile:
            if self._directory.description.is_dir():
                raise
        self._number = (self._known.number if self._known else 0) + 1

    def wanted(self, by: Sequence[str]) -> list[list[str]]:
        """Return the lists of blocks by which there are indexes, with another one.

        Raises
        ------
        UBPError
            If the version has no such block.
        """
        ordered = self._version.ordered(by)
        found = [one.by for one in self._known.indexes] if self._known else self._usual()
        return found if not ordered or ordered in found else [*found, ordered]

    def _usual(self) -> list[list[str]]:
        """Return the lists of blocks of the version that was indexed last, as far as possible."""
        names = {part.block for part in self._version.parts}
        others = self._version.directory.parent.glob("*/similar/similar.json")
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
            with suppress(DamagedFile):
                last = SimilarDirectory(ProfileVersion.load(path.parents[1])).read()
                kept = [one.by for one in last.indexes] if last else []
                return [[], *(by for by in kept if by and {*by} <= names)]
        return [[]]

    @property
    def _named(self) -> list[NamedSnapshot]:
        return list(map(NamedSnapshot.of, self._files))

    def current(self, by: Sequence[str]) -> Built | None:
        """Return what there is, if nothing is to be made; raises as :meth:`wanted`."""
        wanted, before = self.wanted(by), self._before
        if before is None or before.snapshots != self._named:
            return None
        if any(before.index(one) is None for one in wanted):
            return None
        return Built(self._renamed(before), 0)

    def build(self, by: Sequence[str], warehouse: Warehouse, progress: ProgressFactory) -> Built:
        """Make all indexes, or write what has changed into those that there are."""
        wanted, before = self.wanted(by), self._before
        if current := self.current(by):
            return current
        if before and before.snapshots == self._named:
            missing = [one for one in wanted if before.index(one) is None]
            facts = Facts.open(self._directory.whole(before.facts))
            new = [self._index(one, facts.keys, facts.present, progress) for one in missing]
            indexes = [*before.indexes, *new]
            return Built(self._write(before.model_copy(update={"indexes": indexes})), len(facts))
        make_directory(self._directory.path)
        changes = self._changes()
        if changes is None:
            return self._all(wanted, warehouse, progress)
        return self._some(wanted, changes, warehouse, progress)

    def _renamed(self, before: SimilarDescription) -> SimilarDescription:
        """Note that another publish serves the same profiles."""
        if before.publish == self._publish:
            return before
        return self._write(before.model_copy(update={"publish": self._publish}))

    def _changes(self) -> Changes | None:
        if self._before is None:
            return None
        try:
            files = find_snapshots(self._version, self._before.snapshots)
        except UBPError:  # one is gone
            return None
        return changes_between(files, self._files, self._before.clients)

    def _all(
        self, wanted: list[list[str]], warehouse: Warehouse, progress: ProgressFactory
    ) -> Built:
        keys = np.unique(np.concatenate([client_keys(file.path) for file in self._files]))
        plane, stored = self._plane()
        points = np.empty((len(keys), 2), np.float32)
        with progress("places on the map", len(keys), "clients") as advance:
            for part in newest_profiles(self._files):
                points[np.searchsorted(keys, part.keys)] = plane.place(part.keys, part.vectors)
                advance(len(part.keys))
        facts = self._facts(keys, np.ones(len(keys), bool), points, warehouse, progress)
        indexes = [self._index(by, keys, facts.present, progress) for by in wanted]
        return self._finish(facts, len(keys), indexes, stored, len(keys))

    def _some(
        self,
        wanted: list[list[str]],
        changes: Changes,
        warehouse: Warehouse,
        progress: ProgressFactory,
    ) -> Built:
        assert self._before  # noqa: S101 - or there would be no changes
        old = Facts.open(self._directory.whole(self._before.facts))
        changed = np.concatenate([np.empty(0, np.int64), *(one.keys for one in changes.rows())])
        keys = np.unique(changed)
        slots = _slots(old.keys, old.present, keys)
        plane, plane_file = self._plane()
        size = max(len(old), int(slots.max(initial=-1)) + 1)
        everybody, there = np.zeros(size, np.int64), np.zeros(size, bool)
        points = np.full((size, 2), np.nan, np.float32)
        everybody[: len(old)], there[: len(old)] = old.keys, old.present
        points[: len(old)] = old.points
        everybody[slots], there[slots] = keys, True
        for part in changes.rows():
            where = slots[np.searchsorted(keys, part.keys)]
            points[where] = plane.place(part.keys, part.vectors)
        # Of all clients anew: days and windows end at the cutoff for everybody.
        facts = self._facts(everybody, there, points, warehouse, progress)
        indexes = []
        for by in wanted:
            stored, found = self._before.index(by), None
            if stored:
                found = VectorIndex.open(self._directory.whole(stored.file), shared=False)
            if found is None or not found.suits(changes.everybody):
                indexes.append(self._index(by, facts.keys, facts.present, progress))
                continue
            found.remove(slots)
            columns = self._version.columns(by)
            for part in changes.rows():
                where = slots[np.searchsorted(keys, part.keys)]
                found.add(where, part.vectors[:, columns])
            indexes.append(self._store(by, found))
        return self._finish(facts, changes.everybody, indexes, plane_file, len(keys))

    def _facts(
        self,
        keys: np.ndarray,
        present: np.ndarray,
        points: np.ndarray,
        warehouse: Warehouse,
        progress: ProgressFactory,
    ) -> Facts:
        """Collect the facts of the clients at all slots, as far as there is one."""
        newest = self._files[-1]
        known = known_then(warehouse, newest) or EVERYTHING
        clients = np.sort(keys[present])
        history = warehouse.history(newest.cutoff, clients, known)
        ids = pa.array(warehouse.identifiers("client_id").ids(clients))
        table = facts_of(history, clients, ids, progress)
        return Facts.at_slots(table, keys, present, points)

    def _plane(self) -> tuple[Plane, StoredFile]:
        """Return the map of the version, which never changes; lay it out the first time."""
        if self._known:
            with suppress(DamagedFile):
                path = self._directory.whole(self._known.plane)
                return Plane.open(path), self._known.plane
        plane = Plane.fit(self._sample(SAMPLE))
        return plane, self._stored("plane", "safetensors", plane.write)

    def _index(
        self, by: list[str], keys: np.ndarray, present: np.ndarray, progress: ProgressFactory
    ) -> StoredIndex:
        """Make an index of all clients, whose keys stand at their slots."""
        columns = self._version.columns(by)
        clients = int(np.count_nonzero(present))
        found = VectorIndex.build(
            self._sample(VectorIndex.sample_size(clients))[:, columns], clients
        )
        order = _by_key(keys, present)
        ordered = keys[order]
        title = f"index {self._version.name}" + f" by {', '.join(by)}" * bool(by)
        with progress(title, clients, "clients") as advance:
            parts = (
                Part(order[np.searchsorted(ordered, one.keys)], one.vectors[:, columns])
                for one in newest_profiles(self._files)
            )
            for added in found.fill(parts, self._engine):
                advance(added)
        return self._store(by, found)

    def _sample(self, clients: int) -> np.ndarray:
        """Return about so many profiles, of the snapshot with most clients."""
        largest = max(self._files, key=lambda file: file.clients)
        return thinned(largest.path, clients)

    def _store(self, by: list[str], index: VectorIndex) -> StoredIndex:
        digest = hashlib.sha256(",".join(by).encode()).hexdigest()[:8]
        file = self._stored(f"by-{digest}" if by else "all", "faiss", index.write)
        return StoredIndex(by=by, file=file, clients=len(index))

    def _stored(self, name: str, kind: str, write: Callable[[Path], None]) -> StoredFile:
        """Write a file of the next state."""
        path = self._directory.path / f"{name}-{self._number}.{kind}"
        with atomic_file(path) as draft:
            write(draft)
        return self._directory.stored(path)

    def _finish(
        self,
        facts: Facts,
        clients: int,
        indexes: list[StoredIndex],
        plane: StoredFile,
        written: int,
    ) -> Built:
        made = SimilarDescription(
            number=self._number,
            publish=self._publish,
            snapshots=self._named,
            cutoff=self._files[-1].cutoff,
            newest_event=facts.newest_event,
            clients=clients,
            facts=self._stored("facts", "arrow", facts.write),
            plane=plane,
            indexes=indexes,
            made_at=datetime.now(UTC),
        )
        return Built(self._write(made), written)

    def without(self, client_ids: Sequence[str]) -> list[str]:
        """Remove clients; see :func:`remove_clients`."""
        before = self._before
        if before is None:
            return []
        facts = Facts.open(self._directory.whole(before.facts))
        slots = facts.slots(client_ids)
        if not len(slots):
            self._directory.clean(before)
            return []
        found = list(map(str, facts.ids(slots)))
        indexes = []
        for one in before.indexes:
            index = VectorIndex.open(self._directory.whole(one.file), shared=False)
            index.remove(slots)
            indexes.append(self._store(one.by, index))
        left = {
            "clients": before.clients - len(slots),
            "facts": self._stored("facts", "arrow", facts.emptied(slots).write),
            "indexes": indexes,
        }
        self._write(before.model_copy(update=left))
        return found

    def _write(self, description: SimilarDescription) -> SimilarDescription:
        found = description.model_copy(update={"number": self._number, "publish": self._publish})
        self._directory.write(found)
        return found


def _by_key(keys: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the slots where there is somebody, in the order of the keys."""
    there = np.flatnonzero(present)
    ordered: np.ndarray = there[np.argsort(keys[there], kind="stable")]
    return ordered


def _slots(keys: np.ndarray, present: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the slots of clients; those who have none yet get the next ones."""
    order = _by_key(keys, present)
    if not len(order):
        return len(keys) + np.arange(len(wanted))
    place = np.minimum(np.searchsorted(keys[order], wanted), len(order) - 1)
    slots: np.ndarray = order[place]
    new = keys[slots] != wanted
    slots[new] = len(keys) + np.arange(np.count_nonzero(new))
    return slots


def remove_clients(version: ProfileVersion, client_ids: Sequence[str]) -> list[str]:
    """Remove clients from a version's indexes, and return those who were in them.

    Parameters
    ----------
    version : ProfileVersion
    client_ids : sequence of str
        As the shop writes them.

    Raises
    ------
    DamagedFile
        If a file is damaged.
    """
    directory = SimilarDirectory(version)
    found = directory.read()
    if found is None:
        directory.clean(None)
        return []
    directory.check()
    return Builder(version, found.publish, []).without(client_ids)
