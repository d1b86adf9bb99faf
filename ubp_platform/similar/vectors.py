"""An index of vectors by cosine: exact for few of them, approximate for many.

Up to :data:`EXACT` vectors are compared one by one. More are grouped around centroids, of which a
search visits the nearest, and kept with a byte for each number (faiss: ``IVF`` and ``SQ8``).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError

#: Up to so many vectors a search is exact.
EXACT = 50_000
# Groups that a search visits, of about 2 √n; and vectors per group from which its centre is found.
_VISITED, _SAMPLED = 16, 50
# Vectors that are compared, at least, for each that is to be found.
_FOR_EACH = 8
# Widths that are no multiple of this are several times slower.
_WIDTH = 16
# Vectors in a piece of an index that is made in pieces.
_IN_PIECE = 32_768
# A vector this short has no direction.
_SHORTEST = 1e-6


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UBPError(
            "similar clients need faiss: install `ubp-platform[serve]`, or `faiss-cpu`"
        ) from None
    return faiss


@dataclass(frozen=True)
class Part:
    """Vectors, float32 of shape (n, width), and the slots where they belong."""

    slots: np.ndarray
    vectors: np.ndarray

    def __str__(self) -> str:
        return f"slots {self.slots[0]} to {self.slots[-1]} of the index"


@dataclass(frozen=True)
class _Pieces:
    """Makes an index of each part, like an empty one."""

    empty: np.ndarray

    def __call__(self, part: Part) -> tuple[int, np.ndarray]:
        faiss = _faiss()
        piece = VectorIndex(faiss.deserialize_index(self.empty))
        piece.add(part.slots, part.vectors)
        return len(part.slots), faiss.serialize_index(piece._index)


def _larger(parts: Iterable[Part]) -> Iterator[Part]:
    """Join parts: each piece of an index carries the centres of all groups."""
    waiting: list[Part] = []
    for part in parts:
        waiting.append(part)
        if sum(len(one.slots) for one in waiting) >= _IN_PIECE:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Part]) -> Part:
    slots = np.concatenate([one.slots for one in parts])
    return Part(slots, np.concatenate([one.vectors for one in parts]))


class VectorIndex:
    """Unit vectors by slot.

    Parameters
    ----------
    index : faiss.Index
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, sample: np.ndarray, clients: int) -> "VectorIndex":
        """Make an empty index for so many vectors.

        Parameters
        ----------
        sample : ndarray of float32, shape (n, width)
            Vectors that are representative; see :meth:`sample_size`.
        clients : int
        """
        faiss = _faiss()
        rows = _prepared(sample)
        width = rows.shape[1]
        if clients <= EXACT:
            return cls(faiss.IndexIDMap2(faiss.IndexFlatIP(width)))
        groups = min(_groups(clients), max(1, len(rows) // _SAMPLED))
        index = faiss.index_factory(width, f"IVF{groups},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.train(rows[_has_direction(rows)])
        return cls(index)

    @staticmethod
    def sample_size(clients: int) -> int:
        """Return the number of vectors from which an index for so many clients is made."""
        return 1 if clients <= EXACT else _groups(clients) * _SAMPLED

    @classmethod
    def open(cls, path: Path, shared: bool = True) -> "VectorIndex":
        """Read a file that :meth:`write` wrote; its hash must have been checked.

        Parameters
        ----------
        path : Path
        shared : bool
            Whether it is mapped into memory, which processes share, and cannot be changed.
        """
        faiss = _faiss()
        return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if shared else 0))

    def write(self, path: Path) -> None:
        """Write the index."""
        _faiss().write_index(self._index, str(path))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def is_exact(self) -> bool:
        """Whether a search compares with all vectors."""
        return not hasattr(self._index, "nlist")

    def suits(self, clients: int) -> bool:
        """Whether an index for so many clients would be made about like this one."""
        if self.is_exact or clients <= EXACT:
            return self.is_exact and clients <= EXACT
        return _groups(clients) < 1.5 * int(self._index.nlist)

    def add(self, slots: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors, float32 of shape (n, width); those without a direction are left out."""
        rows = _prepared(vectors)
        have = _has_direction(rows)
        if have.any():
            self._index.add_with_ids(rows[have], slots[have].astype(np.int64))

    def fill(self, parts: Iterable[Part], engine: Engine = HERE) -> Iterator[int]:
        """Add parts one after the other, and yield how many vectors each had.

        An engine's workers put the vectors of an approximate index into groups and code them; the
        pieces are joined in the order of the parts, so that the index is the same.
        """
        if self.is_exact or not engine.reads_lake:
            for part in parts:
                self.add(part.slots, part.vectors)
                yield len(part.slots)
            return
        faiss = _faiss()
        work = _Pieces(faiss.serialize_index(self._index))
        for count, piece in engine.in_order(work, _larger(parts)):
            self._index.merge_from(faiss.deserialize_index(piece), 0)
            yield count

    def remove(self, slots: np.ndarray) -> None:
        """Remove the vectors at some slots, as far as they are there."""
        faiss, ids = _faiss(), np.ascontiguousarray(slots, dtype=np.int64)
        if len(ids):
            self._index.remove_ids(faiss.IDSelectorBatch(len(ids), faiss.swig_ptr(ids)))
        if not self.is_exact:  # a group of one client has that client's vector as its centre
            lists = self._index.invlists
            centres = faiss.downcast_index(self._index.quantizer)
            rows = faiss.rev_swig_ptr(centres.get_xb(), centres.ntotal * centres.d)
            empty = [one for one in range(lists.nlist) if not lists.list_size(one)]
            rows.reshape(centres.ntotal, centres.d)[empty] = 0

    def search(
        self, vector: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> np.ndarray:
        """Find the vectors that are nearest to one by cosine.

        Parameters
        ----------
        vector : ndarray of float32, shape (width,)
        count : int
        allowed : ndarray of bool, optional
            By slot, which may be found; all by default.

        Returns
        -------
        ndarray of int64
            Slots, the nearest first; fewer than ``count`` if there are no more.
        """
        faiss = _faiss()
        faiss.omp_set_num_threads(1)  # a search is short; several are made at once
        options: dict[str, Any] = {}
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        row = _prepared(np.asarray(vector, np.float32)[None])
        there = len(self) if allowed is None else int(np.count_nonzero(allowed))
        count = min(count, len(self))
        if not (count and there):
            return np.empty(0, np.int64)
        if self.is_exact:
            # Of the map from slots, which hands the selector on.
            parameters = faiss.SearchParameters(**options) if options else None
            _, found = self._index.search(row, count, params=parameters)
            return _slots_of(found)
        groups, visited = int(self._index.nlist), self._visited(count, allowed is not None, there)
        while True:
            parameters = faiss.SearchParametersIVF(nprobe=visited, **options)
            _, found = self._index.search(row, count, params=parameters)
            slots = _slots_of(found)
            # Those who may be found can all be far away.
            if len(slots) >= min(count, there) or visited == groups:
                return slots
            visited = min(4 * visited, groups)

    def _visited(self, count: int, filtered: bool, there: int) -> int:
        """Return how many groups are visited; all, where few vectors may be found."""
        groups = int(self._index.nlist)
        if filtered and there <= EXACT:
            return groups
        share = there / max(len(self), 1)
        wanted = max(_VISITED, _FOR_EACH * count * groups / max(there, 1))
        return min(math.ceil(wanted / min(share, 1.0)), groups)


def _slots_of(found: np.ndarray) -> np.ndarray:
    slots: np.ndarray = found[0][found[0] >= 0]
    return slots


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, float32 (n, width); zeros where there is no direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray = np.divide(
        vectors, lengths, out=np.zeros_like(vectors, np.float32), where=lengths > _SHORTEST
    )
    return found


def _prepared(vectors: np.ndarray) -> np.ndarray:
    """Return unit vectors with zeros up to a width that is computed with fast."""
    width = -(-vectors.shape[1] // _WIDTH) * _WIDTH
    rows = np.zeros((len(vectors), width), np.float32)
    rows[:, : vectors.shape[1]] = unit(vectors)
    return rows


def _has_direction(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.any(axis=1))


def _groups(clients: int) -> int:
    return round(2 * math.sqrt(clients))


def groups_of(rows: np.ndarray, count: int, fewest: int, seed: int = 0) -> np.ndarray:
    """Return the centres of groups of unit vectors (k-means), float32 (n_groups, width).

    Groups of fewer than ``fewest`` vectors are left out: their centres would tell of single ones.
    """
    faiss = _faiss()
    fit = faiss.Kmeans(
        rows.shape[1], count, niter=15, seed=seed, min_points_per_centroid=1, spherical=True
    )
    fit.train(np.ascontiguousarray(rows, dtype=np.float32))
    centres: np.ndarray = fit.centroids
    _, nearest = fit.index.search(np.ascontiguousarray(rows, dtype=np.float32), 1)
    return centres[np.bincount(nearest[:, 0], minlength=count) >= fewest]
