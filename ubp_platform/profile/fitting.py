"""Fitting the blocks of a profile; existing fits are reused."""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.registry import block_class, block_names, matching, profile_blocks
from ubp_platform.choices import Preset
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.forgotten import Forgotten
from ubp_platform.home import Home
from ubp_platform.profile.client_samples import draw_clients, sample_identity
from ubp_platform.profile.encoding import known_cutoff
from ubp_platform.profile.listing import versions
from ubp_platform.profile.version import ProfilePart
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known, require_delivered
from ubp_platform.warehouse.history import History


@dataclass(frozen=True)
class BlockFits:
    """What :func:`fit_blocks` did.

    Parameters
    ----------
    cutoff : datetime
    fitted : list of FittedBlock
    reused : list of FittedBlock
        Had been fitted before on the same history with the same parameters.
    unavailable : dict of str to str
        Blocks that were left out, with the reason.
    skipped : list of str
        Blocks that the caller left out.
    parts : list of FittedBlock
        The blocks of the profile, in its order.
    known : Known
        What belonged to the history, of all that happened before the cutoff.
    """

    cutoff: datetime
    fitted: list[FittedBlock]
    reused: list[FittedBlock]
    unavailable: dict[str, str]
    skipped: list[str]
    parts: list[FittedBlock]
    known: Known = EVERYTHING


def fit_blocks(
    home: Home,
    names: Sequence[str] = (),
    *,
    cutoff: datetime | None = None,
    preset: Preset = "small",
    seed: int = 0,
    progress: ProgressFactory = logged,
    among: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    model: str | None = None,
    resume: bool = False,
    complete: bool = False,
    as_delivered: bool = False,
    refit_forgotten: int | None = None,
    clients_sample: int | None = None,
) -> BlockFits:
    """Fit blocks on the history before a cutoff; existing fits are reused.

    Parameters
    ----------
    home : Home
        Deliveries cannot land while it fits, unless the home is :func:`frozen
        <ubp_platform.warehouse.frozen.frozen>`.
    names : sequence of str
        The blocks to fit; by default those of ``among`` that have events to read. Blocks not named
        keep their newest version in the profile.
    cutoff : datetime, optional
        The newest instant up to which the log is complete by default.
    preset : {"small", "paper"}
    seed : int
    progress : ProgressFactory
    among : sequence of str, optional
        The blocks of the profile where none are named; the default profile's by default.
    skip : sequence of str
        Blocks to leave out, also patterns such as ``lm_*``.
    model : str, optional
        The language model of the blocks that use one: a directory or a hub name.
    resume : bool
        Whether interrupted fits of these blocks on this history resume from their last epoch;
        otherwise they start again.
    complete : bool
        Whether Ctrl-C during a fit ends the run; otherwise it ends that fit, and its best epoch is
        kept.
    as_delivered : bool
        Leave out what was delivered at the cutoff or later, as if the blocks were fitted then.
    refit_forgotten : int, optional
        Reuse no fit that may have learned from as many clients who have been forgotten since.
    clients_sample : int, optional
        Learn from so many of the relevant clients with an event, drawn with the seed; from all if
        there are no more. What is counted over all clients still is.

    Returns
    -------
    BlockFits

    Raises
    ------
    BlockUnavailable
        If a block that was asked for by name has no events, or no block has any.
    UBPError
        If something else is missing that a block needs; then nothing is fitted.
    """
    blocks, skipped = select_blocks(names, skip, preset, seed, model, among)
    home.check()
    with Warehouse(home.warehouse) as warehouse:
        home.prepare()
        cutoff = known_cutoff(warehouse, cutoff)
        if as_delivered:
            require_delivered(warehouse.connection, cutoff)
        known = Known.at(cutoff, as_delivered)
        history = warehouse.history(cutoff, known=known)
        identity = warehouse.identity(cutoff, known)
        if clients_sample is not None:
            everybody = history.clients_with(EVENT_TYPES)
            if len(everybody) > clients_sample:
                sample = draw_clients(everybody, clients_sample, seed)
                history = warehouse.history(cutoff, sample, known)
                identity = sample_identity(identity, clients_sample, seed)
        unavailable = _without_events(blocks, history, strict=bool(names))
        available = [block for block in blocks if block.name not in unavailable]
        kept: dict[str, FittedBlock] = {}
        later: list[str] = []
        if names:
            kept, later = _kept(home, cutoff, {*skipped, *(block.name for block in blocks)})
        # For complete fits nobody has asked to resume anything: nothing to warn of.
        warn = resume and not complete
        reused, to_fit = _reusable(home, available, identity, warn, refit_forgotten)
        fitted, without = _fit(
            home,
            history,
            identity,
            to_fit,
            progress,
            keys=warehouse.key_state,
            resume=resume,
            complete=complete,
            strict=bool(names),
        )
        unavailable |= without
        unavailable |= dict.fromkeys(later, "fitted on events after this cutoff only")
        by_name = kept | {fit.name: fit for fit in (*reused, *fitted)}
    parts = [by_name[name] for name in block_names() if name in by_name]
    if not parts:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
        raise BlockUnavailable(f"no block can be fitted: {reasons}")
    return BlockFits(cutoff, fitted, reused, unavailable, skipped, parts, known)


def select_blocks(
    names: Sequence[str] = (),
    skip: Sequence[str] = (),
    preset: Preset = "small",
    seed: int = 0,
    model: str | None = None,
    among: Sequence[str] | None = None,
) -> tuple[list[Block], list[str]]:
    """Make the unfitted blocks to fit, and list the blocks to skip.

    Parameters
    ----------
    names, skip, preset, seed, model, among
        As in :func:`fit_blocks`.

    Raises
    ------
    UBPError
        If a name or an option does not fit.
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


def _without_events(blocks: list[Block], history: History, strict: bool) -> dict[str, str]:
    """Return why blocks have nothing to read, before any is fitted."""
    reasons = {}
    for block in blocks:
        try:
            history.require(block.needs)
        except BlockUnavailable as reason:
            if strict:
                raise BlockUnavailable(f"{block.name}: {reason}") from None
            reasons[block.name] = str(reason)
    return reasons


def _reusable(
    home: Home, blocks: list[Block], history: str, warn: bool, refit_forgotten: int | None
) -> tuple[list[FittedBlock], list[tuple[Block, Path]]]:
    """Return existing fits, and the blocks to fit with the paths of their checkpoints."""
    catalog, forgotten = Catalog(home), Forgotten.read(home)
    reused: list[FittedBlock] = []
    to_fit: list[tuple[Block, Path]] = []
    for block in blocks:
        identity = block.identity(history)
        path = home.checkpoints / block.name / f"{identity}.safetensors"
        same = catalog.complete_fit(block.name, identity)
        if same and (
            refit_forgotten is None
            or forgotten.learned_by(f"{same.name}/{same.version}") < refit_forgotten
        ):
            reused.append(same)
            Checkpoint(path).clear()
            continue
        block.check()
        block.scratch = home.scratch
        to_fit.append((block, path))
        if warn and not path.exists() and any(path.parent.glob("*.safetensors")):
            warnings.warn(
                f"{block.name} starts again: its checkpoint is of another history or of other "
                "parameters (preset, seed, cutoff, sample of clients)",
                stacklevel=3,
            )
    return reused, to_fit


def _fit(
    home: Home,
    history: History,
    identity: str,
    to_fit: list[tuple[Block, Path]],
    progress: ProgressFactory,
    *,
    keys: str,
    resume: bool,
    complete: bool,
    strict: bool,
) -> tuple[list[FittedBlock], dict[str, str]]:
    """Fit blocks one after the other; return the fits, and why other blocks were not fitted."""
    catalog = Catalog(home)
    fitted: list[FittedBlock] = []
    unavailable: dict[str, str] = {}
    for block, path in to_fit:
        checkpoint = Checkpoint(path)
        if not resume:
            checkpoint.clear()
        try:
            block.fit(history, progress, checkpoint)
        except BlockUnavailable as reason:
            if strict:
                raise BlockUnavailable(f"{block.name}: {reason}") from None
            unavailable[block.name] = str(reason)
            continue
        if complete and not block.report_.complete:
            raise KeyboardInterrupt
        # The identity again: a fit may have added to it, such as the hash of a language model.
        fitted.append(catalog.add(block, block.identity(identity), keys))
        if block.report_.complete:
            checkpoint.clear()
    return fitted, unavailable


def _kept(
    home: Home, cutoff: datetime, without: Collection[str]
) -> tuple[dict[str, FittedBlock], list[str]]:
    """Return what a profile keeps: the newest fit up to a cutoff of each other block.

    Only fits of profiles for serving count; others were made to be evaluated.

    Returns
    -------
    fits : dict of str to FittedBlock
    later : list of str
        Blocks of the newest profile that were fitted after the cutoff only.
    """
    parts: dict[str, ProfilePart] = {}
    served = versions(home)
    names = [part.block for version in served[-1:] for part in version.parts]
    names = [name for name in names if name not in without]
    for version in served:
        for part in version.parts:
            known = parts.get(part.block)
            if part.fit_cutoff <= cutoff and (not known or part.fit_cutoff >= known.fit_cutoff):
                parts[part.block] = part
    catalog = Catalog(home)
    fits = {
        name: catalog.get(name, parts[name].version, parts[name].fit)
        for name in names
        if name in parts
    }
    for fit in fits.values():
        fit.check()  # They become a part of the new profile as they are.
    return fits, [name for name in names if name not in parts]
