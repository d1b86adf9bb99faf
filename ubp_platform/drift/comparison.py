"""Comparing two sides, block by block, on a sample of their clients."""

from datetime import UTC, datetime

import numpy as np
from pydantic import BaseModel

from ubp_platform.drift import measures
from ubp_platform.drift.limits import Crossed, Limits
from ubp_platform.drift.sides import Side, blocks_in_one_space, column_names
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfilePart
from ubp_platform.progress import ProgressFactory, logged

#: The PSI above which the distribution of a column has moved, by custom.
MOVED = 0.25
#: The clients that are compared, if there are more: drawn from those of either side.
SAMPLE = 5000


class BlockDrift(BaseModel):
    """How a block of B differs from that of A; see :mod:`ubp_platform.drift.measures`.

    Parameters
    ----------
    block : str
    width : int
        In A.
    same_space : bool
        Whether its numbers mean the same in both. If they do not, only ``overlap``, ``absent_a``
        and ``absent_b`` are known.
    absent_a, absent_b : float, optional
        The share of clients of whom the block knows nothing; None in a part that an aligned
        version maps.
    overlap : float, optional
        Of the ten nearest neighbours; like ``cosine``, of clients whom the block knows in both.
    cosine, shift, auroc : float, optional
    components : list of float
        The PSI along A's leading principal components.
    columns : dict of str to float
        The PSI of each column, where columns have names.
    chance : float
        The PSI that chance alone gives once in a thousand times; of few clients it is large.
    """

    block: str
    width: int
    same_space: bool
    absent_a: float | None
    absent_b: float | None
    overlap: float | None
    cosine: float | None = None
    shift: float | None = None
    auroc: float | None = None
    components: list[float] = []
    columns: dict[str, float] = {}
    chance: float = 0.0

    @property
    def psi(self) -> float | None:
        """The largest PSI along a component, less what chance gives."""
        largest = max(self.components, default=None)
        return None if largest is None else max(0.0, largest - self.chance)

    @property
    def moved(self) -> list[str]:
        """The named columns with a PSI above 0.25, besides chance; the largest PSI first."""
        found = [name for name, value in self.columns.items() if value > MOVED + self.chance]
        return sorted(found, key=self.columns.__getitem__, reverse=True)

    @property
    def share_moved(self) -> float | None:
        """The share of the named columns that moved; None where columns have no names."""
        return len(self.moved) / len(self.columns) if self.columns else None

    @property
    def measured(self) -> dict[str, float | None]:
        """What has a limit, by the limit's name."""
        return {
            "overlap": self.overlap,
            "cosine": self.cosine,
            "shift": self.shift,
            "psi": self.psi,
            "columns": self.share_moved,
            "auroc": self.auroc,
            "absent": self.absent,
        }

    @property
    def absent(self) -> float | None:
        """How much the share of absent clients changed."""
        if self.absent_a is None or self.absent_b is None:
            return None
        return abs(self.absent_b - self.absent_a)


class Compared(BaseModel):
    """A side of a comparison, as it is kept."""

    version: str
    cutoff: datetime
    clients: int


class Comparison(BaseModel):
    """How the profiles B differ from the profiles A.

    Parameters
    ----------
    made_at : datetime
    a, b : Compared
    common, new, gone : int
        Clients in both, in B only, in A only.
    sampled : int
        Clients of either side who were compared.
    seed : int
        Of the sample, and of the folds.
    blocks : list of BlockDrift
        In the order of A's vector.
    others : list of str
        Blocks that only one of the two has.
    limits : Limits
    crossed : list of Crossed
        Empty if it is healthy.
    """

    made_at: datetime
    a: Compared
    b: Compared
    common: int
    new: int
    gone: int
    sampled: int
    seed: int
    blocks: list[BlockDrift]
    others: list[str]
    limits: Limits
    crossed: list[Crossed] = []

    @property
    def elsewhere(self) -> list[str]:
        """The blocks that are in another space."""
        return [block.block for block in self.blocks if not block.same_space]


def compare(
    home: Home,
    a: Side,
    b: Side,
    limits: Limits,
    progress: ProgressFactory = logged,
    seed: int = 0,
) -> Comparison:
    """Compare two sides.

    Parameters
    ----------
    home : Home
    a, b : Side
    limits : Limits
    progress : ProgressFactory
    seed : int

    Raises
    ------
    DamagedFile
        If a snapshot is damaged.
    """
    same = blocks_in_one_space(a.version, b.version)
    common = np.intersect1d(a.clients, b.clients, assume_unique=True)
    pair = _Pair(home, a, b, sampled(np.union1d(a.clients, b.clients), seed), seed)
    theirs = {part.block: part for part in b.version.parts}
    shared = [part for part in a.version.parts if part.block in theirs]
    blocks = []
    with progress(f"compare {a.name} with {b.name}", len(shared), "blocks") as advance:
        for part in shared:
            blocks.append(pair.drift(part, theirs[part.block], part.block in same))
            advance(1)
    names = [part.block for version in (a.version, b.version) for part in version.parts]
    found = Comparison(
        made_at=datetime.now(UTC),
        a=Compared(version=a.version.name, cutoff=a.cutoff, clients=len(a.clients)),
        b=Compared(version=b.version.name, cutoff=b.cutoff, clients=len(b.clients)),
        common=len(common),
        new=len(b.clients) - len(common),
        gone=len(a.clients) - len(common),
        sampled=len(pair.clients),
        seed=seed,
        blocks=blocks,
        others=[name for name in dict.fromkeys(names) if names.count(name) == 1],
        limits=limits,
    )
    return found.model_copy(update={"crossed": _crossed(found)})


def sampled(clients: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw :data:`SAMPLE` of some clients, by key; all if there are no more."""
    if len(clients) <= SAMPLE:
        return clients
    chosen = np.random.default_rng(seed).choice(len(clients), SAMPLE, replace=False)
    return clients[np.sort(chosen)]


class _Pair:
    """The sampled clients' rows on both sides."""

    def __init__(self, home: Home, a: Side, b: Side, clients: np.ndarray, seed: int) -> None:
        self.home, self.a, self.b, self.clients, self.seed = home, a, b, clients, seed
        self.a_keys, self.b_keys = (
            np.intersect1d(clients, side.clients, assume_unique=True) for side in (a, b)
        )
        self.a_rows, self.b_rows = a.rows(self.a_keys), b.rows(self.b_keys)
        _, self.a_common, self.b_common = np.intersect1d(
            self.a_keys, self.b_keys, assume_unique=True, return_indices=True
        )

    def drift(self, a_part: ProfilePart, b_part: ProfilePart, same_space: bool) -> BlockDrift:
        """Compare one block."""
        a, b = (
            np.ascontiguousarray(rows[:, part.start : part.start + part.width])
            for rows, part in ((self.a_rows, a_part), (self.b_rows, b_part))
        )
        a_absent, b_absent = self.a.absent(a_part, a), self.b.absent(b_part, b)
        known = np.ones(len(self.a_common), bool)
        for absent, rows in ((a_absent, self.a_common), (b_absent, self.b_common)):
            if absent is not None:
                known &= ~absent[rows]
        a_known, b_known = a[self.a_common[known]], b[self.b_common[known]]
        found = BlockDrift(
            block=a_part.block,
            width=a_part.width,
            same_space=same_space,
            absent_a=_share(a_absent),
            absent_b=_share(b_absent),
            overlap=measures.neighbour_overlap(a_known, b_known),
        )
        if not same_space or not len(a) or not len(b):
            return found
        names = column_names(self.home, self.a.version, a_part)
        columns = measures.column_psi(a, b) if names else ()
        update = {
            "cosine": measures.mean_cosine(a_known, b_known),
            "shift": measures.centroid_shift(a, b),
            "auroc": measures.auroc(a, b, self.a_keys, self.b_keys, self.seed),
            "components": measures.component_psi(a, b, self.a_keys, self.b_keys, self.seed),
            "chance": measures.chance_psi(len(a), len(b)),
            "columns": dict(zip(names or (), columns, strict=True)),
        }
        return found.model_copy(update=update)


def _share(absent: np.ndarray | None) -> float | None:
    return None if absent is None or not len(absent) else float(absent.mean())


def _crossed(found: Comparison) -> list[Crossed]:
    before = found.a.clients
    crossed = found.limits.crossed("", {"gone": found.gone / before if before else 0.0})
    for block in found.blocks:
        crossed += found.limits.crossed(block.block, block.measured)
    return crossed
