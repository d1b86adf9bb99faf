"""Making an aligned version: ``v2@v1`` has the numbers of ``v2`` in the space of ``v1``."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.state_arrays import digest
from ubp_platform.errors import UBPError
from ubp_platform.files import new_directory
from ubp_platform.home import Home
from ubp_platform.profile.alignment import (
    AlignedBlock,
    Alignment,
    BlockMap,
    Columns,
    fit_maps,
    transform,
)
from ubp_platform.profile.encoder import ProfileEncoder
from ubp_platform.profile.encoding import require_keys
from ubp_platform.profile.head_scores import HeadScore, head_scores
from ubp_platform.profile.listing import aligned_name
from ubp_platform.profile.version import ProfileDescription, ProfilePart, ProfileVersion, writing
from ubp_platform.progress import ProgressFactory
from ubp_platform.times import literal
from ubp_platform.warehouse import Warehouse

#: The number of clients who are encoded by both versions; more do not make the maps better.
ANCHORS = 10_000
#: Fewer show no map between hundreds of numbers.
_FEWEST = 100
_WINDOW = timedelta(days=14)


def align(
    home: Home,
    warehouse: Warehouse,
    new: ProfileVersion,
    old: ProfileVersion,
    progress: ProgressFactory,
) -> ProfileVersion:
    """Fit and write the version that maps one version into the space of another one.

    Parameters
    ----------
    home : Home
    warehouse : Warehouse
    new, old : ProfileVersion
    progress : ProgressFactory

    Raises
    ------
    UBPError
        If there are too few clients to fit a map.
    """
    cutoff = new.description.normalizer_cutoff
    kept = _kept(home, new, old)
    with progress(f"align {new.name} with {old.name}", 4, "encodings") as advance:
        both = _Both(home, warehouse, new, old)
        anchors, new_rows, old_rows = both.at(cutoff, advance)
        if len(anchors) < _FEWEST:
            raise UBPError(
                f"only {len(anchors)} clients have a profile at {cutoff:%Y-%m-%d %H:%M}: an "
                f"alignment is fitted on {_FEWEST} at least"
            )
        maps = fit_maps(new_rows, old_rows, _columns(new), _mapped(old, kept))
        scored_at, scores = _scores(both, anchors, cutoff, kept, (new_rows, old_rows), advance)
    about = {one.about.block: one.about for one in maps}
    exact = {name: AlignedBlock(block=name, method="kept", explained=1.0) for name in kept}
    alignment = Alignment(
        of=new.name,
        to=old.name,
        to_made_from=old.made_from,
        to_normalizers=old.description.normalizers,
        cutoff=cutoff,
        anchors=len(anchors),
        blocks=[(about | exact)[part.block] for part in old.parts],
        scored_at=scored_at,
        scores=scores,
    )
    return _write(home, old, new, kept, maps, alignment)


class _Both:
    """Encodes the anchors by both versions."""

    def __init__(
        self, home: Home, warehouse: Warehouse, new: ProfileVersion, old: ProfileVersion
    ) -> None:
        self.warehouse, self.new, self.old = warehouse, new, old
        self._encoders = [ProfileEncoder(home, one) for one in (new, old)]
        for one in self._encoders:
            require_keys(warehouse, one.fits)

    def at(
        self, cutoff: datetime, advance: Callable[[float], None], among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the anchors' keys, and their profiles by the new and the old version."""
        everybody = self.warehouse.history(cutoff, among)
        clients = everybody.clients_with(_events(self.new))
        step = max(1, -(-len(clients) // ANCHORS))
        history = self.warehouse.history(cutoff, clients[::step])
        encoded = []
        for encoder in self._encoders:
            encoded.append(encoder.encode(history, history.clients))
            advance(1)
        return history.clients, encoded[0], encoded[1]


def _events(version: ProfileVersion) -> tuple[str, ...]:
    """Return the event types that any block of a version reads."""
    return tuple({name: None for part in version.parts for name in block_class(part.block).needs})


def _kept(home: Home, new: ProfileVersion, old: ProfileVersion) -> dict[str, ProfilePart]:
    """Return the parts that are computed as before: their blocks learn nothing of clients.

    A part names the new fit where it is of the same parameters, so that it is encoded once.
    """
    catalog, found = Catalog(home), {}
    of_new = {part.block: part for part in new.own_parts}
    for part in old.own_parts:
        fitted = catalog.get(part.block, part.version, part.fit)
        if fitted.report.loss is not None:
            continue
        found[part.block] = part
        if other := of_new.get(part.block):
            one, two = (catalog.get(p.block, p.version, p.fit).load() for p in (part, other))
            if one.config() == two.config() and digest(one.state()) == digest(two.state()):
                same = {"version": other.version, "fit": other.fit}
                found[part.block] = part.model_copy(update=same)
    return found


def _columns(version: ProfileVersion) -> list[Columns]:
    return [Columns(part.block, part.start, part.width) for part in version.parts]


def _mapped(old: ProfileVersion, kept: dict[str, ProfilePart]) -> list[Columns]:
    return [one for one in _columns(old) if one.block not in kept]


def _scores(
    both: _Both,
    anchors: np.ndarray,
    cutoff: datetime,
    kept: dict[str, ProfilePart],
    fitted_on: tuple[np.ndarray, np.ndarray],
    advance: Callable[[float], None],
) -> tuple[datetime | None, list[HeadScore]]:
    """Score downstream models two weeks before the cutoff, so that what comes next is known."""
    at = cutoff - _WINDOW
    first, _ = both.warehouse.event_times()
    if at - _WINDOW <= first:
        return None, []
    clients, new_rows, old_rows = both.at(at, advance, anchors)
    mapped, columns = _mapped(both.old, kept), _columns(both.new)
    place = np.searchsorted(anchors, clients)

    def align(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        chosen = place[train]
        # What is kept is the same in both.
        aligned = old_rows[test].copy()
        for one, found in zip(
            mapped,
            fit_maps(fitted_on[0][chosen], fitted_on[1][chosen], columns, mapped),
            strict=True,
        ):
            one.of(aligned)[:] = transform(new_rows[test], found.arrays)
        return aligned

    return at, head_scores(
        old_rows, new_rows, align, recent_and_next(both.warehouse, clients, at, cutoff)
    )


def recent_and_next(
    warehouse: Warehouse, clients: np.ndarray, at: datetime, until: datetime
) -> dict[str, np.ndarray]:
    """Label clients who were active in the two weeks before a time, and in those after it."""
    history = warehouse.history(until, clients)
    what, event = ("bought", "product_buy")
    if not history.counts[event]:
        what, event = "acted", "event"

    def between(start: datetime, end: datetime) -> np.ndarray:
        rows = history.query(
            f"SELECT DISTINCT client_id FROM relevant_{event} "  # noqa: S608
            f"WHERE timestamp >= {literal(start)} AND timestamp < {literal(end)}"
        )
        return np.isin(clients, rows["client_id"].to_numpy())

    return {
        f"{what} in the last 14 days": between(at - _WINDOW, at),
        f"{what} in the next 14 days": between(at, until),
    }


def _write(
    home: Home,
    old: ProfileVersion,
    new: ProfileVersion,
    kept: dict[str, ProfilePart],
    maps: list[BlockMap],
    alignment: Alignment,
) -> ProfileVersion:
    by_block, parts = {one.about.block: one for one in maps}, []
    arrays: dict[str, np.ndarray] = {}
    for part, normalizer in zip(old.parts, old.normalizers, strict=True):
        if part.block in kept:
            parts.append(kept[part.block])
            values = normalizer.arrays
        else:
            # It is made of the whole profile that is mapped.
            source = {"version": new.name, "fit": new.made_from}
            parts.append(part.model_copy(update=source))
            values = {"mean": normalizer.mean, **by_block[part.block].arrays}
        for name, array in values.items():
            arrays[f"{part.block}.{name}"] = np.ascontiguousarray(array)
    description = ProfileDescription(
        parts=parts,
        normalizer_cutoff=alignment.cutoff,
        normalizer_revision=old.description.normalizer_revision,
        created_at=datetime.now(UTC).replace(microsecond=0),
        normalizers=digest(arrays),
        aligned=alignment,
    )
    name = aligned_name(new.name, old.name)
    return ProfileVersion.load(
        new_directory(home.profiles, writing(description, arrays), lambda: name)
    )
