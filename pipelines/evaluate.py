"""``ubp evaluate``: the challenge's protocol on whatever is in the warehouse."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.backtest import Backtest, backtest, evaluated_profile, plan
from pipelines.report import write_report
from pipelines.train import choose
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.registry import block_class, profile_blocks
from ubp_platform.choices import NetworkName, Preset, ProfileKind, ProtocolName
from ubp_platform.client_list import read_embeddings
from ubp_platform.errors import BlockUnavailable, TaskUnavailable, UBPError
from ubp_platform.evaluation import tasks as task_list
from ubp_platform.evaluation.baselines import baselines, handcrafted
from ubp_platform.evaluation.network import SEED
from ubp_platform.evaluation.plan import Plan, choose_budgets, choose_heads
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.record import BlockRecord, Evaluation, machine, package_versions
from ubp_platform.evaluation.representations import (
    Representation,
    of_profile,
    profile_matrix,
    whole,
)
from ubp_platform.evaluation.split import Split
from ubp_platform.evaluation.summary import summarize
from ubp_platform.evaluation.tasks import Targets, Task
from ubp_platform.files import write_whole
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse import Warehouse, ledger


def evaluate(
    home: Home,
    blocks: Sequence[str] = (),
    tasks: Sequence[str] = (),
    network: NetworkName = "small",
    seeds: int = 1,
    progress: ProgressFactory = silent,
    *,
    profile: ProfileKind = "default",
    protocol: ProtocolName = "holdout",
    heads: Sequence[str] = (),
    labels: Sequence[str] = (),
    block_seeds: int = 1,
    preset: Preset = "small",
    model: str | None = None,
    clients: Path | None = None,
    classes: Path | None = None,
    embeddings: Path | None = None,
) -> Evaluation:
    """Score the profile, each of its blocks, the profile without each, and three baselines.

    Parameters
    ----------
    home : Home
    blocks : sequence of str
        The blocks of the profile, also patterns.
    tasks : sequence of str
        All by default.
    network : {"paper", "small"}
        The network of the head ``network``.
    seeds : int
        How often each head is fitted, with other inner splits, first weights and labelled clients.
    progress : ProgressFactory
    profile : {"default", "paper"}
        Which blocks it has where none are named.
    protocol : {"holdout", "challenge"}
    heads : sequence of str
        All by default.
    labels : sequence of str
        Numbers of labelled clients, beside all; ``all`` for no others.
    block_seeds : int
        How often the blocks are fitted, with the seeds 0, 1, …
    preset : {"small", "paper"}
        Of the blocks.
    model : str, optional
        The language model of the blocks that use one.
    clients : Path, optional
        Lists the clients to ask about.
    classes : Path, optional
        A directory of class lists and popularities.
    embeddings : Path, optional
        A directory of foreign embeddings: these are scored beside the baselines, and nothing is
        fitted.

    Returns
    -------
    Evaluation
        Also written to ``evaluation/evaluation.json`` in the home, and as a page to
        ``report/index.html``.

    Raises
    ------
    UBPError
        If the log is too short, or an argument or a file is wrong.
    """
    names = task_list.choose(tasks)
    chosen = choose_heads(heads, protocol)
    for count, what in ((seeds, "seed"), (block_seeds, "block seed")):
        if count < 1:
            raise UBPError(f"an evaluation takes one {what} or more, not {count}")
    if embeddings is None:
        wanted = profile_blocks(profile, blocks)
        choose(preset=preset, model=model, among=wanted)
    elif blocks or model or (profile, preset, block_seeds) != ("default", "small", 1):
        raise UBPError(
            "--embeddings fits nothing: leave out --blocks, --profile, --preset, --model and "
            "--block-seeds"
        )
    # Before anything is fitted: what cannot be asked is said at once.
    split, listed = plan(home, clients)
    budgets = choose_budgets(labels, len(listed), protocol)
    foreign = None if embeddings is None else _foreign(home, embeddings, listed)
    with Warehouse(home.warehouse) as warehouse:
        posed, unavailable = pose(Targets(warehouse, split, listed, classes), names, bool(tasks))
        sources = {str(batch["source"]) for batch in ledger.batches(warehouse.connection)}
    if foreign is None:
        compared = _ours(
            [
                backtest(home, split, listed, wanted, preset, model, progress, seed)
                for seed in range(block_seeds)
            ]
        )
    else:
        compared = _theirs(home, split, listed, foreign)
    rows = [*compared.rows, *_unlearned(home, split, listed, compared.rows)]
    judged = Plan(protocol, chosen, range(SEED, SEED + seeds), budgets)
    scores = run(rows, posed, network, judged, home.evaluation / "scores", progress)
    version = compared.version
    found = Evaluation(
        made_at=datetime.now(UTC).replace(microsecond=0),
        home=str(home.root),
        source=", ".join(sorted(sources)),
        cutoff=split.cutoff,
        validation_start=split.validation_start,
        end=split.end,
        clients=len(listed),
        clients_from=str(clients) if clients else None,
        unknown=compared.unknown,
        profile=version.name if version else None,
        preset=preset if foreign is None else None,
        blocks=_blocks(home, version, compared.fitted) if version else [],
        unavailable_blocks=compared.unavailable,
        unavailable_tasks=unavailable,
        scores=scores,
        summary=summarize(scores),
        machine=machine(),
        versions=package_versions(),
    )
    write_whole(home.evaluation / "evaluation.json", found.model_dump_json(indent=1))
    write_report(home, found, rows, progress)
    return found


@dataclass(frozen=True)
class _Compared:
    """What is scored beside the baselines, and the profile among it, if there is one."""

    rows: list[Representation]
    version: ProfileVersion | None
    unknown: int = 0
    fitted: frozenset[str] = frozenset()
    unavailable: dict[str, str] = field(default_factory=dict)


def _ours(tested: Sequence[Backtest]) -> _Compared:
    """The profile, each of its blocks, and the profile without each; once for each block seed."""
    first = tested[0]
    return _Compared(
        rows=[
            made
            for seed, one in enumerate(tested)
            for made in of_profile(one.matrix, one.version.widths, seed)
        ],
        version=first.version,
        unknown=first.unknown,
        fitted=frozenset(fit.name for fit in first.fits.fitted),
        unavailable=first.fits.unavailable,
    )


def _unlearned(
    home: Home, split: Split, clients: np.ndarray, rows: Sequence[Representation]
) -> list[Representation]:
    """The baselines; the handcrafted features too, unless they are a block that is scored."""
    with Warehouse(home.warehouse) as warehouse:
        history = warehouse.history(split.cutoff, clients)
        found = baselines(history, clients)
        if Handcrafted.name not in {made.name for made in rows}:
            with suppress(BlockUnavailable):
                found.append(handcrafted(history, clients))
    return found


def _theirs(home: Home, split: Split, clients: np.ndarray, foreign: Representation) -> _Compared:
    """Foreign embeddings, and the profile that was evaluated last, if it still holds."""
    version = evaluated_profile(home, split)
    if version is None:
        return _Compared([foreign], None)
    matrix, known = profile_matrix(version, split.cutoff, clients)
    # In the parts in which it was scored.
    profile = next(of_profile(matrix, version.widths))
    return _Compared([profile, foreign], version, len(clients) - known)


def _foreign(home: Home, directory: Path, clients: np.ndarray) -> Representation:
    with Warehouse(home.warehouse) as warehouse:
        shop = warehouse.identifiers("client_id")
        _, vectors = read_embeddings(directory, clients, shop)
    # No block and no baseline has a name that ends so.
    return whole(f"{directory.resolve().name}/", "foreign", vectors)


def pose(targets: Targets, names: Sequence[str], strict: bool) -> tuple[list[Task], dict[str, str]]:
    """Pose the tasks that a log allows; of the others, say why not.

    Parameters
    ----------
    targets : Targets
    names : sequence of str
    strict : bool
        Whether a task that cannot be posed is an error.

    Returns
    -------
    tasks : list of Task
    unavailable : dict of str to str
    """
    posed, reasons = [], {}
    for name in names:
        try:
            posed.append(targets.task(name))
        except TaskUnavailable as reason:
            if strict:
                raise TaskUnavailable(f"{name}: {reason}") from None
            reasons[name] = str(reason)
    if not posed:
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise TaskUnavailable(f"no task can be posed: {told}")
    return posed, reasons


def _blocks(home: Home, version: ProfileVersion, fitted: frozenset[str]) -> list[BlockRecord]:
    records = []
    for part in version.parts:
        fit = Catalog(home).get(part.block, part.version)
        described = block_class(part.block).describe(fit.directory)
        records.append(
            BlockRecord(
                name=part.block,
                version=part.version,
                width=part.width,
                fitted=part.block in fitted,
                params=described.config().model_dump(mode="json"),
                report=fit.report,
            )
        )
    return records
