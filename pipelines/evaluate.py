"""``ubp evaluate``: score profiles on the warehouse's log by the challenge's tasks."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.report import write_report
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.registry import block_class, profile_blocks
from ubp_platform.choices import NetworkName, Preset, ProfileKind, ProtocolName
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.evaluation.backtest import Backtest, backtest, evaluated_profile, plan
from ubp_platform.evaluation.baselines import baselines, handcrafted
from ubp_platform.evaluation.embeddings import read_embeddings
from ubp_platform.evaluation.network import SEED
from ubp_platform.evaluation.plan import EvaluationPlan, select_budgets, select_heads
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.record import BlockRecord, Evaluation, machine, package_versions
from ubp_platform.evaluation.representations import (
    Representation,
    of_matrix,
    of_profile,
    profile_matrix,
)
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.split import Split
from ubp_platform.evaluation.summary import summarize
from ubp_platform.evaluation.tasks import Targets, select_tasks
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.locks import shared
from ubp_platform.profile.fitting import select_blocks
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.sealed import sealed_json
from ubp_platform.warehouse import Warehouse, ledger
from ubp_platform.warehouse.delivery_times import Known
from ubp_platform.warehouse.frozen import frozen, warn_of_changes


def evaluate(
    home: Home,
    blocks: Sequence[str] = (),
    tasks: Sequence[str] = (),
    network: NetworkName = "small",
    seeds: int = 1,
    progress: ProgressFactory = logged,
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
    as_delivered: bool = False,
) -> Evaluation:
    """Score the profile, each of its blocks, the profile without each block, and three baselines.

    Parameters
    ----------
    home : Home
    blocks : sequence of str
        Names and patterns of the profile's blocks.
    tasks : sequence of str
        All by default.
    network : {"paper", "small"}
        Size of the head ``network``.
    seeds : int
        Number of fits per head, each with its own inner split, initial weights and labelled
        clients.
    progress : ProgressFactory
    profile : {"default", "paper"}
        The blocks if none are named.
    protocol : {"holdout", "challenge"}
    heads : sequence of str
        All by default.
    labels : sequence of str
        Numbers of labelled clients in addition to all; ``all`` for no others.
    block_seeds : int
        Number of fits per block, with the seeds 0, 1, …
    preset : {"small", "paper"}
        Preset of the blocks.
    model : str, optional
        Language model of the blocks that use one.
    clients : Path, optional
        File that lists the clients to evaluate.
    classes : Path, optional
        A directory of class lists and popularities.
    embeddings : Path, optional
        A directory of foreign embeddings to score instead of a profile; no block is fitted.
    as_delivered : bool
        Whether profiles and baselines are made from what had been delivered by the end of the
        input, as if they had been made then. What is predicted is what happened.

    Returns
    -------
    Evaluation
        Also written to ``evaluation/evaluation.json`` in the home, and as a page to
        ``report/index.html``.

    Raises
    ------
    UBPError
        If the log is too short, or an argument or a file is invalid.
    """
    task_names = select_tasks(tasks)
    head_names = select_heads(heads, protocol)
    _check_counts(seeds, block_seeds)
    options = (profile, preset, block_seeds)
    if embeddings and (blocks or model or as_delivered or options != ("default", "small", 1)):
        raise UBPError(
            "--embeddings fits nothing: leave out --blocks, --profile, --preset, --model, "
            "--block-seeds and --as-delivered"
        )
    wanted = profile_blocks(profile, blocks)
    select_blocks(preset=preset, model=model, among=wanted)
    with shared(home, "evaluate"), frozen(home) as copy:
        # All input is checked before anything is fitted.
        split, listed = plan(copy, clients, as_delivered)
        known = Known.at(split.cutoff, as_delivered)
        budgets = select_budgets(labels, len(listed), protocol)
        foreign = None if embeddings is None else _foreign(copy, embeddings, listed)
        with Warehouse(copy.warehouse) as warehouse:
            targets = Targets(warehouse, split, listed, classes, known)
            available, unavailable = targets.available(task_names, strict=bool(tasks))
            sources = {str(batch["source"]) for batch in ledger.batches(warehouse.connection)}
        if foreign is None:
            subject = _fitted_profiles(
                backtest(copy, split, listed, wanted, preset, model, progress, seed, as_delivered)
                for seed in range(block_seeds)
            )
        else:
            subject = _with_last_profile(copy, split, listed, foreign)
        rows = [*subject.rows, *_baselines(copy, split, listed, subject.rows, known)]
        scores = run(
            representations=rows,
            tasks=available,
            size=network,
            plan=EvaluationPlan(protocol, head_names, range(SEED, SEED + seeds), budgets),
            cache=home.evaluation / "scores",
            progress=progress,
        )
        record = Evaluation(
            source=", ".join(sorted(sources)),
            clients=len(listed),
            clients_from=str(clients) if clients else None,
            preset=preset if foreign is None else None,
            as_delivered=as_delivered,
            unavailable_tasks=unavailable,
            **_facts(home, split, subject, scores),
        )
        write_text(home.evaluation / "evaluation.json", sealed_json(record))
        write_report(copy, record, rows, progress)
        warn_of_changes(copy, [split.end], "ubp evaluate")
    return record


def _check_counts(seeds: int, block_seeds: int) -> None:
    for count, what in ((seeds, "seed"), (block_seeds, "block seed")):
        if count < 1:
            raise UBPError(f"an evaluation takes at least one {what}, not {count}")


@dataclass(frozen=True)
class _Subject:
    """What is scored besides the baselines, and the profile version among it, if there is one."""

    rows: list[Representation]
    version: ProfileVersion | None
    unknown: int = 0
    fitted: frozenset[str] = frozenset()
    unavailable: dict[str, str] = field(default_factory=dict)


def _fitted_profiles(backtests: Iterable[Backtest]) -> _Subject:
    """The profile, each of its blocks, and the profile without each block, per block seed."""
    first, *others = backtests
    return _Subject(
        rows=[
            row
            for seed, one in enumerate([first, *others])
            for row in of_profile(one.matrix, one.version.widths, seed)
        ],
        version=first.version,
        unknown=first.unknown,
        fitted=frozenset(fit.name for fit in first.fits.fitted),
        unavailable=first.fits.unavailable,
    )


def _with_last_profile(
    home: Home, split: Split, clients: np.ndarray, foreign: Representation
) -> _Subject:
    """Foreign embeddings, and the last evaluated profile if it is still valid."""
    version = evaluated_profile(home, split)
    if version is None:
        return _Subject([foreign], None)
    matrix, known = profile_matrix(version, split.cutoff, clients)
    # With the blocks as parts, as when it was scored: so its stored scores are reused.
    profile = next(of_profile(matrix, version.widths))
    return _Subject([profile, foreign], version, len(clients) - known)


def _baselines(
    home: Home, split: Split, clients: np.ndarray, rows: Sequence[Representation], known: Known
) -> list[Representation]:
    """The baselines; the handcrafted features among them unless they are a scored block."""
    with Warehouse(home.warehouse) as warehouse:
        history = warehouse.history(split.cutoff, clients, known)
        found = baselines(history, clients)
        if Handcrafted.name not in {row.name for row in rows}:
            with suppress(BlockUnavailable):
                found.append(handcrafted(history, clients))
    return found


def _foreign(home: Home, directory: Path, clients: np.ndarray) -> Representation:
    with Warehouse(home.warehouse) as warehouse:
        shop = warehouse.identifiers("client_id")
        _, vectors = read_embeddings(directory, clients, shop)
    # The slash keeps the name distinct from those of blocks and baselines.
    return of_matrix(f"{directory.resolve().name}/", "foreign", vectors)


def _facts(home: Home, split: Split, subject: _Subject, scores: Scores) -> dict[str, Any]:
    """The fields of a record that follow from these."""
    version = subject.version
    return {
        "made_at": datetime.now(UTC).replace(microsecond=0),
        "home": str(home.root),
        "cutoff": split.cutoff,
        "validation_start": split.validation_start,
        "end": split.end,
        "unknown": subject.unknown,
        "profile": version.name if version else None,
        "blocks": _blocks(home, version, subject.fitted) if version else [],
        "unavailable_blocks": subject.unavailable,
        "scores": scores,
        "summary": summarize(scores),
        "machine": machine(),
        "versions": package_versions(),
    }


def _blocks(home: Home, version: ProfileVersion, fitted: frozenset[str]) -> list[BlockRecord]:
    records = []
    for part, fit in zip(version.parts, version.fits(home), strict=True):
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
