"""``ubp train`` and ``ubp encode``: fit blocks, encode cutoffs, assemble profiles."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.catalog import Catalog, Fitted, describe_snapshot
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.encoding import encode as encode_into
from ubp_platform.blocks.registry import (
    block_class,
    block_names,
    matching,
    profile_blocks,
)
from ubp_platform.choices import Preset, ProfileKind
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.version import (
    ProfilePart,
    ProfileVersion,
    create,
    get_version,
    newest_version,
    versions,
)
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.history import History


@dataclass(frozen=True)
class Fits:
    """What :func:`fit_blocks` did.

    Parameters
    ----------
    cutoff : datetime
    fitted : list of Fitted
    reused : list of Fitted
        Had been fitted before on the same history with the same parameters.
    unavailable : dict of str to str
        Blocks that were left out, with the reason.
    skipped : list of str
        Blocks that were not wanted.
    parts : list of Fitted
        What a profile is made of, in its order; each has a snapshot at the cutoff.
    """

    cutoff: datetime
    fitted: list[Fitted]
    reused: list[Fitted]
    unavailable: dict[str, str]
    skipped: list[str]
    parts: list[Fitted]


@dataclass(frozen=True)
class Trained(Fits):
    """What ``ubp train`` did: the fits, and the profile version that was made of them."""

    profile: ProfileVersion


def train(
    home: Home,
    names: Sequence[str] = (),
    cutoff: datetime | None = None,
    preset: Preset = "small",
    seed: int = 0,
    progress: ProgressFactory = silent,
    *,
    profile: ProfileKind = "default",
    skip: Sequence[str] = (),
    model: str | None = None,
    resume: bool = False,
) -> Trained:
    """Fit blocks on the history before a cutoff and make a profile version of them.

    Parameters
    ----------
    home, names, cutoff, preset, seed, progress, skip, model, resume
        As in :func:`fit_blocks`.
    profile : {"default", "paper"}
        Which blocks to fit where none are named.

    Returns
    -------
    Trained
    """
    fits = fit_blocks(
        *(home, names, cutoff, preset, seed, progress),
        among=profile_blocks(profile),
        skip=skip,
        model=model,
        resume=resume,
    )
    published = Served.read(home)
    # A name that is online stays the name of what is online.
    taken = published.online if published else ()
    made = create(home, fits.parts, fits.cutoff, taken=taken)
    assemble(home, made, fits.cutoff, progress)
    return Trained(**vars(fits), profile=made)


def fit_blocks(
    home: Home,
    names: Sequence[str] = (),
    cutoff: datetime | None = None,
    preset: Preset = "small",
    seed: int = 0,
    progress: ProgressFactory = silent,
    *,
    among: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    model: str | None = None,
    resume: bool = False,
    whole: bool = False,
) -> Fits:
    """Fit blocks on the history before a cutoff, and encode it; what is there is used again.

    Parameters
    ----------
    home : Home
    names : sequence of str
        The blocks to fit; by default those of ``among`` whose events are there. Blocks not named
        keep their newest version in the profile.
    cutoff : datetime, optional
        The midnight after the last event by default.
    preset : {"small", "paper"}
    seed : int
    progress : ProgressFactory
    among : sequence of str, optional
        The blocks of the profile where none are named; the default profile's by default.
    skip : sequence of str
        Blocks to leave out, also patterns such as ``lm_*``.
    model : str, optional
        The language model of the blocks that use one: a folder or a hub's name.
    resume : bool
        Whether fits of these blocks, on this history, that were cut off go on from their last
        epoch; otherwise they start anew.
    whole : bool
        Whether Ctrl-C during a fit ends all; otherwise it ends that fit, whose best epoch is kept.

    Returns
    -------
    Fits

    Raises
    ------
    BlockUnavailable
        If a block that was asked for by name has no events, or no block has any.
    UBPError
        If something else is missing that a block needs; then nothing is fitted.
    """
    blocks, skipped = choose(names, skip, preset, seed, model, among)
    catalog = Catalog(home)
    fitted: list[Fitted] = []
    with Warehouse(home.warehouse) as warehouse:
        cutoff = _known_time(warehouse, cutoff)
        history, made_of = warehouse.history(cutoff), warehouse.identity(cutoff)
        unavailable = _unavailable(blocks, history, strict=bool(names))
        available = [block for block in blocks if block.name not in unavailable]
        others, later = _profiled(home, cutoff) if names else ({}, [])
        named = {block.name for block in blocks}
        for name, kept in others.items():
            if name not in named and name not in skipped:
                kept.check()  # Now: they become a part of the profile as they are.
        # For whole fits nobody has asked to resume anything: nothing to warn of.
        reused, wanted = _plan(home, available, made_of, resume and not whole)
        for block, path in wanted:
            checkpoint = Checkpoint(path)
            if not resume:
                checkpoint.clear()
            try:
                block.fit(history, progress, checkpoint)
            except BlockUnavailable as reason:
                if names:
                    raise BlockUnavailable(f"{block.name}: {reason}") from None
                unavailable[block.name] = str(reason)
                continue
            if whole and not block.report_.complete:
                raise KeyboardInterrupt
            # Named again, for what came with the fit, such as a language model from a hub.
            fitted.append(catalog.add(block, block.identity(made_of)))
            if block.report_.complete:
                checkpoint.clear()
        unavailable |= {
            name: "fitted on events after this cutoff only"
            for name in later
            if name not in named and name not in skipped
        }
        by_name = others | {fit.name: fit for fit in (*reused, *fitted)}
        parts = [by_name[name] for name in block_names() if name in by_name and name not in skipped]
        if not parts:
            raise BlockUnavailable(f"no block can be fitted: {_reasons(unavailable)}")
        _encode_blocks(home, warehouse, parts, cutoff, progress)
    return Fits(cutoff, fitted, reused, unavailable, skipped, parts)


def choose(
    names: Sequence[str] = (),
    skip: Sequence[str] = (),
    preset: Preset = "small",
    seed: int = 0,
    model: str | None = None,
    among: Sequence[str] | None = None,
) -> tuple[list[Block], list[str]]:
    """Make the unfitted blocks that are wanted, and name those that are not.

    Parameters
    ----------
    names, skip, preset, seed, model, among
        As in :func:`fit_blocks`.

    Raises
    ------
    UBPError
        If one of them is wrong.
    """
    skipped = matching(skip)
    blocks, takes_model = [], False
    for name in dict.fromkeys(names or (profile_blocks("default") if among is None else among)):
        if name in skipped:
            continue
        cls = block_class(name)
        overrides: dict[str, Any] = {"seed": seed}
        if model is not None and "model" in cls.parameters():
            overrides["model"] = str(Path(model).resolve()) if Path(model).exists() else model
            takes_model = True
        blocks.append(cls.from_preset(preset, **overrides))
    if not blocks:
        raise UBPError("all blocks are skipped: nothing to fit")
    if model is not None and not takes_model:
        raise UBPError("no block that is to be fitted takes a language model: leave out --model")
    return blocks, skipped


def _unavailable(blocks: list[Block], history: History, strict: bool) -> dict[str, str]:
    """Find the blocks without events before any is fitted."""
    reasons = {}
    for block in blocks:
        try:
            history.require(block.needs)
        except BlockUnavailable as reason:
            if strict:
                raise BlockUnavailable(f"{block.name}: {reason}") from None
            reasons[block.name] = str(reason)
    return reasons


def _plan(
    home: Home, blocks: list[Block], history: str, resume: bool
) -> tuple[list[Fitted], list[tuple[Block, Path]]]:
    """Find the fits that are there, and the blocks to fit with the files of their checkpoints."""
    catalog = Catalog(home)
    reused: list[Fitted] = []
    wanted: list[tuple[Block, Path]] = []
    for block in blocks:
        identity = block.identity(history)
        path = home.checkpoints / block.name / f"{identity}.safetensors"
        if same := catalog.find(block.name, identity):
            reused.append(same)
            Checkpoint(path).clear()
            continue
        block.check()
        block.scratch = home.scratch
        wanted.append((block, path))
        if resume and not path.exists() and any(path.parent.glob("*.safetensors")):
            warnings.warn(
                f"{block.name} starts anew: its checkpoint is of another history or of other "
                "parameters (preset, seed, cutoff)",
                stacklevel=3,
            )
    return reused, wanted


def _profiled(home: Home, cutoff: datetime) -> tuple[dict[str, Fitted], list[str]]:
    """Find the newest fit up to a cutoff of each block of the newest profile.

    Of those that profiles for serving have: others were made to be evaluated.

    Returns
    -------
    fits : dict of str to Fitted
    later : list of str
        The blocks of the newest profile that were not fitted up to the cutoff.
    """
    parts: dict[str, ProfilePart] = {}
    there = versions(home)
    wanted = [part.block for version in there[-1:] for part in version.parts]
    for version in there:
        for part in version.parts:
            known = parts.get(part.block)
            if part.fit_cutoff <= cutoff and (not known or part.fit_cutoff >= known.fit_cutoff):
                parts[part.block] = part
    fits = {name: Catalog(home).get(name, parts[name].version) for name in wanted if name in parts}
    return fits, [name for name in wanted if name not in parts]


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
            _encode_blocks(home, warehouse, parts, cutoff, progress)
            paths.append(assemble(home, profile, cutoff, progress))
    return profile, paths


def _known_time(warehouse: Warehouse, cutoff: datetime | None) -> datetime:
    """Take a cutoff, or the default, and refuse one of which nothing can be known.

    A snapshot of a later time would stay the newest while deliveries catch up with it.
    """
    first, last = warehouse.event_times()
    default = warehouse.default_cutoff()
    if cutoff is None:
        return default
    if cutoff > default:
        raise UBPError(
            f"the cutoff {cutoff:%Y-%m-%d %H:%M} is too late: the last event is from "
            f"{last:%Y-%m-%d %H:%M}, and nothing is known of what came after its day"
        )
    if cutoff <= first:
        raise UBPError(
            f"no event is before the cutoff {cutoff:%Y-%m-%d %H:%M}; the first is from "
            f"{first:%Y-%m-%d %H:%M}"
        )
    return cutoff


def _encode_blocks(
    home: Home,
    warehouse: Warehouse,
    parts: list[Fitted],
    cutoff: datetime,
    progress: ProgressFactory,
) -> None:
    """Bring the snapshots of all parts at a cutoff up to date."""
    identity = warehouse.identity(cutoff)
    history, clients = warehouse.history(cutoff), warehouse.identifiers("client_id")
    catalog = Catalog(home)
    stale = []
    for fitted in parts:
        path = catalog.snapshot_path(fitted.name, fitted.version, cutoff)
        if not path.exists() or describe_snapshot(path).identity != identity:
            stale.append((fitted, path))
    for fitted, _ in stale:
        fitted.check()
    for fitted, path in stale:
        block = fitted.load()
        block.scratch = home.scratch
        encode_into(block, history, path, identity, progress, shop_ids=clients.shop_ids)


def _reasons(unavailable: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
