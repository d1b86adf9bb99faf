"""What is compared: the profile, its parts, baselines, and embeddings from elsewhere.

All are float16, as the challenge takes them, so that a score here is the score of what
``ubp export`` writes.
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
from ubp_platform.evaluation.places import find
from ubp_platform.profile.version import ProfileVersion

#: The challenge takes no wider embeddings.
MAX_WIDTH = 2048
#: A block whose first numbers say most, and of how many of them a profile's short form is made.
ORDERED, FIRST = FutureWindow.name, 16
# Rows of a snapshot that are read at once.
_ROWS = 65_536

Kind = Literal["profile", "compact", "block", "without", "baseline", "foreign"]


@dataclass(frozen=True)
class Part:
    """Some columns of a matrix with a row a client.

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
        """Names the numbers: equal digests, equal columns."""
        return hashlib.sha256(np.ascontiguousarray(self.columns).data).hexdigest()

    @property
    def columns(self) -> np.ndarray:
        """The columns themselves."""
        return self.matrix[:, self.start : self.stop]


@dataclass(frozen=True)
class Representation:
    """One vector for each listed client.

    Parameters
    ----------
    name : str
    kind : {"profile", "compact", "block", "without", "baseline", "foreign"}
        The whole profile, its first numbers, one block of it, the profile without that block, …
    parts : tuple of Part
        Side by side.
    block_seed : int
        Of the blocks; 0 also where none was fitted.
    """

    name: str
    kind: Kind
    parts: tuple[Part, ...]
    block_seed: int = 0

    @property
    def clients(self) -> int:
        """How many have a vector."""
        return len(self.parts[0].matrix)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return sum(part.stop - part.start for part in self.parts)

    @cached_property
    def identity(self) -> str:
        """Names the numbers: equal identities, equal vectors."""
        digests = "\n".join(part.digest for part in self.parts)
        return hashlib.sha256(digests.encode()).hexdigest()

    def batch(self, rows: np.ndarray) -> Tensor:
        """Give some clients' vectors.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Positions in the list of clients, ascending.

        Returns
        -------
        Tensor of float32, shape (n, width)
        """
        whole = len(rows) == rows[-1] - rows[0] + 1
        picked: slice | np.ndarray = slice(rows[0], rows[-1] + 1) if whole else rows
        columns = [torch.from_numpy(part.columns[picked].copy()) for part in self.parts]
        # torch is many times faster than numpy at making float32 of these.
        return torch.cat(columns, dim=1).float()


def whole(name: str, kind: Kind, matrix: np.ndarray) -> Representation:
    """Make a representation of all columns of a matrix."""
    return Representation(name, kind, (Part(matrix, 0, matrix.shape[1]),))


def parts_of(matrix: np.ndarray, blocks: Sequence[tuple[str, int]]) -> list[Part]:
    """Give the columns of each block of a profile, in its order.

    Parameters
    ----------
    matrix : ndarray of float16, shape (n_clients, width)
    blocks : sequence of (str, int)
        Names and widths.
    """
    ends = np.cumsum([width for _, width in blocks]).tolist()
    return [Part(matrix, end - width, end) for end, (_, width) in zip(ends, blocks, strict=True)]


def of_profile(
    matrix: np.ndarray, blocks: Sequence[tuple[str, int]], block_seed: int = 0
) -> Iterator[Representation]:
    """Give the profile, its first numbers, each block of it, and the profile without each block.

    The first numbers are given where the profile begins with a block that is in order.

    Parameters
    ----------
    matrix : ndarray of float16, shape (n_clients, width)
    blocks : sequence of (str, int)
        Names and widths, in the order of the profile.
    block_seed : int
        With which they were fitted.
    """
    parts = parts_of(matrix, blocks)
    yield Representation("profile", "profile", tuple(parts), block_seed)
    if blocks[0][0] == ORDERED and blocks[0][1] > FIRST:
        first = (Part(matrix, 0, FIRST),)
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
        The mean profile for a client who has none.
    known : int
        How many have one.
    """
    matrix = np.tile(as_float16(version.mean, "the mean profile"), (len(clients), 1))
    known = 0
    for ids, vectors in iterate(version.snapshot_path(cutoff), rows=_ROWS):
        places, found = find(clients, ids)
        matrix[places] = as_float16(vectors[found], f"profile {version.name}")
        known += len(places)
    return matrix, known


def as_float16(vectors: np.ndarray, name: str) -> np.ndarray:
    """Bring vectors to the challenge's type.

    Parameters
    ----------
    vectors : ndarray of float
    name : str
        What they are, for the message.

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
            f"{name}: the value {vectors[bad][0]} cannot be held by float16, which ends at "
            f"{np.finfo(np.float16).max:,.0f}"
        )
    return small
