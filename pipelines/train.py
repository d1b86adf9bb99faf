"""``ubp train`` and ``ubp encode``: fit blocks, encode cutoffs, assemble profiles."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ubp_platform.blocks.base import PRESETS, REGISTRY, Block, block_class
from ubp_platform.blocks.catalog import Catalog, Fitted, describe_snapshot
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.version import ProfileVersion, create, get_version, newest_version
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse import Warehouse


@dataclass(frozen=True)
class Trained:
    """What ``ubp train`` did.

    Parameters
    ----------
    cutoff : datetime
    fitted : list of Fitted
    reused : list of Fitted
        Had been fitted before on the same history with the same parameters.
    unavailable : dict of str to str
        Blocks that were left out, with the reason.
    profile : ProfileVersion
    """

    cutoff: datetime
    fitted: list[Fitted]
    reused: list[Fitted]
    unavailable: dict[str, str]
    profile: ProfileVersion


def train(
    home: Home,
    names: Sequence[str] = (),
    cutoff: datetime | None = None,
    preset: str = "small",
    seed: int = 0,
    progress: ProgressFactory = silent,
) -> Trained:
    """Fit blocks on the history before a cutoff and make a profile version of them.

    Parameters
    ----------
    home : Home
    names : sequence of str
        The blocks to fit; by default all whose events are there. Blocks not named keep their
        newest version in the profile.
    cutoff : datetime, optional
        The midnight after the last event by default.
    preset : {"small", "paper"}
    seed : int
    progress : ProgressFactory

    Returns
    -------
    Trained

    Raises
    ------
    BlockUnavailable
        If a block that was asked for by name has no events, or no block has any.
    """
    if preset not in PRESETS:
        raise UBPError(f"no preset is called {preset!r}; there are {', '.join(PRESETS)}")
    blocks = [block_class(name).from_preset(preset, seed=seed) for name in names or REGISTRY]
    catalog = Catalog(home)
    fitted: list[Fitted] = []
    reused: list[Fitted] = []
    unavailable: dict[str, str] = {}
    with Warehouse(home.warehouse) as warehouse:
        cutoff = _known_time(warehouse, cutoff)
        history, made_of = warehouse.history(cutoff), warehouse.identity(cutoff)
        for block in blocks:
            identity = _fit_identity(block, made_of)
            if same := catalog.find(block.name, identity):
                reused.append(same)
                continue
            try:
                block.fit(history, progress)
            except BlockUnavailable as reason:
                if names:
                    raise BlockUnavailable(f"{block.name}: {reason}") from None
                unavailable[block.name] = str(reason)
                continue
            fitted.append(catalog.add(block, identity))
        parts = _parts(catalog, [*reused, *fitted], cutoff, keep_others=bool(names))
        if not parts:
            raise BlockUnavailable(f"no block can be fitted: {_reasons(unavailable)}")
        _encode_blocks(warehouse, catalog, parts, cutoff, progress)
    profile = create(home, parts, cutoff)
    assemble(home, profile, cutoff, progress)
    return Trained(cutoff, fitted, reused, unavailable, profile)


def _parts(
    catalog: Catalog, chosen: list[Fitted], cutoff: datetime, keep_others: bool
) -> list[Fitted]:
    """Put the blocks of a profile in order.

    Others that were fitted before stay, unless they have seen what is the future at the cutoff.
    """
    by_name = {fit.name: fit for fit in chosen}
    parts = []
    for name in REGISTRY:
        fit = by_name.get(name)
        if fit is None and keep_others:
            fit = catalog.newest(name, not_after=cutoff)
        if fit is not None:
            parts.append(fit)
    return parts


def encode(
    home: Home,
    cutoffs: Sequence[datetime] = (),
    version: str | None = None,
    progress: ProgressFactory = silent,
) -> tuple[ProfileVersion, list[Path]]:
    """Encode cutoffs with the fitted blocks of a profile version, and assemble the profiles.

    Parameters
    ----------
    home : Home
    cutoffs : sequence of datetime
        Past ones too; without any, the midnight after the last event.
    version : str, optional
        The profile version; the newest by default.
    progress : ProgressFactory

    Returns
    -------
    version : ProfileVersion
    paths : list of Path
        The profile's snapshots, in the order of the cutoffs.
    """
    profile = get_version(home, version) if version else newest_version(home)
    catalog, paths = Catalog(home), []
    parts = [catalog.get(part.block, part.version) for part in profile.parts]
    with Warehouse(home.warehouse) as warehouse:
        wanted: Sequence[datetime | None] = cutoffs or [None]
        for cutoff in [_known_time(warehouse, time) for time in wanted]:
            _encode_blocks(warehouse, catalog, parts, cutoff, progress)
            paths.append(assemble(home, profile, cutoff, progress))
    return profile, paths


def _known_time(warehouse: Warehouse, cutoff: datetime | None) -> datetime:
    """Take a cutoff, or the default, and refuse one of which nothing can be known.

    A snapshot of the future would be the newest one for ever.
    """
    first, last = warehouse.event_times()
    default = warehouse.default_cutoff()
    if cutoff is None:
        return default
    if cutoff > max(default, datetime.now(UTC)):
        raise UBPError(
            f"the cutoff {cutoff:%Y-%m-%d %H:%M} is in the future; the last event is from "
            f"{last:%Y-%m-%d %H:%M}"
        )
    if cutoff <= first:
        raise UBPError(
            f"no event is before the cutoff {cutoff:%Y-%m-%d %H:%M}; the first is from "
            f"{first:%Y-%m-%d %H:%M}"
        )
    return cutoff


def _encode_blocks(
    warehouse: Warehouse,
    catalog: Catalog,
    parts: list[Fitted],
    cutoff: datetime,
    progress: ProgressFactory,
) -> None:
    """Bring the snapshots of all parts at a cutoff up to date."""
    identity = warehouse.identity(cutoff)
    history = warehouse.history(cutoff)
    for fitted in parts:
        path = catalog.snapshot_path(fitted.name, fitted.version, cutoff)
        if path.exists() and describe_snapshot(path).identity == identity:
            continue
        fitted.load().encode(history, progress).write(path, identity)


def _fit_identity(block: Block, history: str) -> str:
    made_with = json.dumps([block.name, block.params.model_dump(mode="json"), history])
    return hashlib.sha256(made_with.encode()).hexdigest()


def _reasons(unavailable: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
