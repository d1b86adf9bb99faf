"""Maps from the vectors of one profile version into the space of another one.

Fitting a block again turns its space, so a downstream model of the older version gets nonsense. The
same clients encoded by both versions at one cutoff, the anchors, show how the spaces lie to each
other: an orthogonal map of a block (Schönemann, "A generalized solution of the orthogonal
Procrustes problem", 1966), or a ridge regression of a block on the whole new profile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from pydantic import BaseModel

from ubp_platform.profile.head_scores import HeadScore

#: The way a block of the older version gets its columns; see :class:`AlignedBlock`.
Method = Literal["kept", "rotation", "ridge", "filled"]

#: A rotation is taken if it explains no less than this below what the ridge map explains.
_SLACK = 0.005
#: A block of whose held-out variance less is explained is not compatible.
_FLOOR = 0.5
#: Every n-th anchor is held out to choose a map.
_HELD_OUT = 5
_PENALTIES = np.logspace(-2, 4, 13)


class AlignedBlock(BaseModel):
    """How a block of the older version gets its columns.

    Parameters
    ----------
    block : str
    method : {"kept", "rotation", "ridge", "filled"}
        ``kept``: it learns nothing of clients, and is computed as before. ``filled``: it is not
        compatible, and has the mean of the older version.
    explained : float, optional
        The share of the variance of held-out anchors that the map explains: 1 if it is exact.
    """

    block: str
    method: Method
    explained: float | None = None


class Alignment(BaseModel):
    """How a version ``v2@v1`` maps ``v2`` into the space of ``v1``.

    Parameters
    ----------
    of, to : str
        ``v2`` and ``v1``.
    to_made_from, to_normalizers : str
        The hashes of the fits and normalizers of ``v1``.
    cutoff : datetime
        At which the anchors were encoded.
    anchors : int
        The number of clients who were encoded by both versions.
    blocks : list of AlignedBlock
        In the order of the vector.
    scored_at : datetime, optional
        The cutoff at which downstream models were scored; None if there was no data for it.
    scores : list of HeadScore
    """

    of: str
    to: str
    to_made_from: str
    to_normalizers: str
    cutoff: datetime
    anchors: int
    blocks: list[AlignedBlock]
    scored_at: datetime | None = None
    scores: list[HeadScore] = []


@dataclass(frozen=True)
class Columns:
    """A block's place in a vector."""

    block: str
    start: int
    width: int

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """Return the block's columns."""
        return vectors[:, self.start : self.start + self.width]


@dataclass(frozen=True)
class BlockMap:
    """An affine map from new profiles to a block of the older ones.

    Parameters
    ----------
    about : AlignedBlock
    weights : ndarray of float64, shape (new_width, width)
    offset : ndarray of float64, shape (width,)
    """

    about: AlignedBlock
    weights: np.ndarray
    offset: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept of it."""
        return {"weights": self.weights, "offset": self.offset}


def transform(vectors: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Map new profiles, float32 (n, new_width), to a block of the old ones, float32 (n, width)."""
    # In double precision, so that a row does not depend on the rows beside it.
    mapped = vectors.astype(np.float64) @ arrays["weights"] + arrays["offset"]
    return mapped.astype(np.float32)


def fit_maps(
    new: np.ndarray, old: np.ndarray, new_blocks: Sequence[Columns], blocks: Sequence[Columns]
) -> list[BlockMap]:
    """Fit a map for each block, by anchors.

    Parameters
    ----------
    new, old : ndarray of float32, shape (n, new_width) and (n, old_width)
        The profiles of the anchors, a row each.
    new_blocks : sequence of Columns
        Of the new profiles.
    blocks : sequence of Columns
        Of the old profiles, those to map.
    """
    if not blocks:  # all are computed as before
        return []
    held_out = np.arange(len(new)) % _HELD_OUT == 0
    fitted_on = new[~held_out], old[~held_out]
    tested_on = new[held_out], old[held_out]
    places = {one.block: one for one in new_blocks}
    ridges = _ridges(*fitted_on, blocks)
    chosen = [
        _choose(ridge, places.get(block.block), block, fitted_on, tested_on)
        for ridge, block in zip(ridges, blocks, strict=True)
    ]
    # The choice is made on held-out anchors, the map is then fitted on all.
    final = _ridges(new, old, blocks)
    return [
        _final(about, ridge, places.get(block.block), block, new, old)
        for about, ridge, block in zip(chosen, final, blocks, strict=True)
    ]


def _choose(
    ridge: BlockMap,
    place: Columns | None,
    block: Columns,
    fitted_on: tuple[np.ndarray, np.ndarray],
    tested_on: tuple[np.ndarray, np.ndarray],
) -> AlignedBlock:
    centre = block.of(fitted_on[1]).mean(axis=0, dtype=np.float64)

    def explained(found: BlockMap) -> float:
        true = block.of(tested_on[1]).astype(np.float64)
        rest = ((transform(tested_on[0], found.arrays) - true) ** 2).sum()
        return float(1 - rest / max(((true - centre) ** 2).sum(), np.finfo(float).tiny))

    by_ridge = explained(ridge)
    if place and place.width == block.width:
        by_rotation = explained(_rotation(*fitted_on, place, block))
        if by_rotation >= max(by_ridge - _SLACK, _FLOOR):
            return AlignedBlock(block=block.block, method="rotation", explained=by_rotation)
    method: Method = "ridge" if by_ridge >= _FLOOR else "filled"
    return AlignedBlock(block=block.block, method=method, explained=by_ridge)


def _final(
    about: AlignedBlock,
    ridge: BlockMap,
    place: Columns | None,
    block: Columns,
    new: np.ndarray,
    old: np.ndarray,
) -> BlockMap:
    if about.method == "rotation" and place:
        found = _rotation(new, old, place, block)
        return BlockMap(about, found.weights, found.offset)
    if about.method == "filled":
        centre = block.of(old).mean(axis=0, dtype=np.float64)
        return BlockMap(about, np.zeros((new.shape[1], block.width)), centre)
    return BlockMap(about, ridge.weights, ridge.offset)


def _rotation(new: np.ndarray, old: np.ndarray, place: Columns, block: Columns) -> BlockMap:
    """Fit the orthogonal map that brings a block's new vectors nearest to the old ones."""
    cross = place.of(new).T.astype(np.float64) @ block.of(old).astype(np.float64)
    left, _, right = np.linalg.svd(cross)
    weights = np.zeros((new.shape[1], block.width))
    weights[place.start : place.start + place.width] = left @ right
    about = AlignedBlock(block=block.block, method="rotation")
    return BlockMap(about, weights, np.zeros(block.width))


def _ridges(new: np.ndarray, old: np.ndarray, blocks: Sequence[Columns]) -> list[BlockMap]:
    """Fit the ridge regressions of all blocks; each column has the penalty that suits it best."""
    from sklearn.linear_model import RidgeCV

    targets = np.concatenate([block.of(old) for block in blocks], axis=1).astype(np.float64)
    model = RidgeCV(_PENALTIES, alpha_per_target=True).fit(new.astype(np.float64), targets)
    weights, offset = model.coef_.T, model.intercept_
    found, start = [], 0
    for block in blocks:
        columns = slice(start, start + block.width)
        about = AlignedBlock(block=block.block, method="ridge")
        found.append(BlockMap(about, weights[:, columns], offset[columns]))
        start += block.width
    return found
