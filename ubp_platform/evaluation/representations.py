"""What is compared: the profile, its blocks, baselines, and foreign embeddings.

All are float16, the challenge's type, so that a score here is the score of what ``ubp export``
writes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ubp_platform.blocks.future_window import FutureWindow
from ubp_platform.blocks.snapshot import iterate
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.profile.version import ProfileVersion

#: The widest embeddings that the challenge accepts.
MAX_WIDTH = 2048
#: The block whose columns are in order of importance, and the width of the compact profile.
ORDERED, FIRST = FutureWindow.name, 16
# Rows of a snapshot that are read at once.
_ROWS = 65_536

Kind = Literal["profile", "compact", "block", "without", "baseline", "foreign"]


@dataclass(frozen=True)
class ColumnRange:
    """Consecutive columns of a matrix with one row per client.

    Parameters
    ----------
    matrix : ndarray of float16, shape (n_clients, n)
    start, stop : int
    """

    matrix: np.ndarray
    start: int
    stop: int

    @cached_property
    def digest(self) -> str:
        """A hash of the numbers: equal digests mean equal columns."""
        return hashlib.sha256(np.ascontiguousarray(self.columns).data).hexdigest()

    @property
    def columns(self) -> np.ndarray:
        """The columns as an array."""
        return self.matrix[:, self.start : self.stop]


@dataclass(frozen=True)
class Representation:
    """One vector per listed client.

    Parameters
    ----------
    name : str
    kind : {"profile", "compact", "block", "without", "baseline", "foreign"}
        The full profile, its first columns, one of its blocks, the profile without one block, …
    parts : tuple of ColumnRange
        Concatenated.
    block_seed : int
        Seed of the blocks; 0 also where no block was fitted.
    """

    name: str
    kind: Kind
    parts: tuple[ColumnRange, ...]
    block_seed: int = 0

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.parts[0].matrix)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return sum(part.stop - part.start for part in self.parts)

    @cached_property
    def identity(self) -> str:
        """A hash of the numbers: equal identities mean equal vectors."""
        digests = "\n".join(part.digest for part in self.parts)
        return hashlib.sha256(digests.encode()).hexdigest()

    def batch(self, rows: np.ndarray) -> Tensor:
        """Return some clients' vectors.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Positions in the list of clients, ascending.

        Returns
        -------
        Tensor of float32, shape (n, width)
        """
        consecutive = len(rows) == rows[-1] - rows[0] + 1
        picked: slice | np.ndarray = slice(rows[0], rows[-1] + 1) if consecutive else rows
        columns = [torch.from_numpy(part.columns[picked].copy()) for part in self.parts]
        # torch converts these to float32 many times faster than numpy.
        return torch.cat(columns, dim=1).float()


def of_matrix(name: str, kind: Kind, matrix: np.ndarray) -> Representation:
    """Represent clients by all columns of a matrix."""
    return Representation(name, kind, (ColumnRange(matrix, 0, matrix.shape[1]),))


def parts_of(matrix: np.ndarray, blocks: Sequence[tuple[str, int]]) -> list[ColumnRange]:
    """Return the columns of each block of a profile.

    Parameters
    ----------
    matrix : ndarray of float16, shape (n_clients, width)
    blocks : sequence of (str, int)
        Names and widths, in the order of the profile.
    """
    ends = np.cumsum([width for _, width in blocks]).tolist()
    return [
        ColumnRange(matrix, end - width, end) for end, (_, width) in zip(ends, blocks, strict=True)
    ]


def of_profile(
    matrix: np.ndarray, blocks: Sequence[tuple[str, int]], block_seed: int = 0
) -> Iterator[Representation]:
    """Yield the profile, its compact form, each of its blocks, and the profile without each block.

    The compact form is yielded only where the profile begins with the block :data:`ORDERED`.

    Parameters
    ----------
    matrix : ndarray of float16, shape (n_clients, width)
    blocks : sequence of (str, int)
        Names and widths, in the order of the profile.
    block_seed : int
        The seed with which the blocks were fitted.
    """
    parts = parts_of(matrix, blocks)
    yield Representation("profile", "profile", tuple(parts), block_seed)
    if blocks[0][0] == ORDERED and blocks[0][1] > FIRST:
        first = (ColumnRange(matrix, 0, FIRST),)
        yield Representation(f"profile, first {FIRST}", "compact", first, block_seed)
    for (name, _), part in zip(blocks, parts, strict=True):
        yield Representation(name, "block", (part,), block_seed)
    if len(parts) > 1:
        for name, _ in blocks:
            rest = tuple(p for (n, _), p in zip(blocks, parts, strict=True) if n != name)
            yield Representation(f"without {name}", "without", rest, block_seed)


def profile_matrix(
    version: ProfileVersion, cutoff: datetime, clients: np.ndarray
) -> tuple[np.ndarray, int]:
    """Collect the profiles of some clients at a cutoff.

    Parameters
    ----------
    version : ProfileVersion
    cutoff : datetime
    clients : ndarray of int64, shape (n_clients,)

    Returns
    -------
    matrix : ndarray of float16, shape (n_clients, width)
        Clients without a profile have the mean one.
    known : int
        Number of clients with a profile.
    """
    matrix = np.tile(as_float16(version.mean, "the mean profile"), (len(clients), 1))
    known = 0
    for ids, vectors in iterate(version.snapshot_path(cutoff), rows=_ROWS):
        rows, listed = positions_in(clients, ids)
        matrix[rows] = as_float16(vectors[listed], f"profile {version.name}")
        known += len(rows)
    return matrix, known


def as_float16(vectors: np.ndarray, name: str) -> np.ndarray:
    """Convert vectors to the challenge's type.

    Parameters
    ----------
    vectors : ndarray of float
    name : str
        What the vectors are, for the error message.

    Raises
    ------
    UBPError
        If a value is not finite, or too large for float16.
    """
    with np.errstate(over="ignore"):
        small = vectors.astype(np.float16)
    bad = ~np.isfinite(small)
    if bad.any():
        raise UBPError(
            f"{name}: the value {vectors[bad][0]} exceeds the range of float16, which ends at "
            f"{np.finfo(np.float16).max:,.0f}"
        )
    return small
