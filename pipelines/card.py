"""``ubp card``: what a profile version is made of, how it is, and what it does not know."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.compare import comparisons
from pipelines.freshness import is_as_delivered
from pipelines.status import status
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot_files import describe_snapshot, revision_paths
from ubp_platform.drift.comparison import sampled
from ubp_platform.drift.sides import Side
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.last import last_evaluation
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.files import make_directory, write_text
from ubp_platform.forgotten import Forgotten
from ubp_platform.home import Home
from ubp_platform.profile.alignment import Alignment
from ubp_platform.profile.listing import aligned_versions, get_version
from ubp_platform.profile.tags import read_tags
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.report.card import (
    Card,
    CardBlock,
    CardCutoff,
    CardData,
    CardScores,
    CardServed,
    CardTable,
    render_card,
)
from ubp_platform.store.publish_log import served_over_time
from ubp_platform.store.served import Served
from ubp_platform.times import shown
from ubp_platform.warehouse import Warehouse

# Comparisons on a card, the newest ones.
_LAST = 3


def card(home: Home, version: str | None = None) -> Card:
    """Describe a version.

    Parameters
    ----------
    home : Home
    version : str, optional
        The newest by default.

    Raises
    ------
    UBPError
        If there is no such version.
    DamagedFile
        If one of its files is damaged.
    """
    found = get_version(home, version)
    now = status(home)
    served, data = Served.read(home), _data(now["warehouse"], now["quarantine"])
    cutoffs = [*_cutoffs(home, found)]
    blocks = [*_blocks(found, Forgotten.read(home))]
    scores = _scores(home, found)
    drift = [one for one in comparisons(home) if found.name in (one.a.version, one.b.version)]
    return Card(
        made_at=datetime.now(UTC),
        version=found.name,
        width=found.width,
        created_at=found.description.created_at,
        model_cutoff=found.model_cutoff,
        tags=[tag for tag, name in read_tags(home).items() if name == found.name],
        served=_served(served) if served and served.version == found.name else None,
        online=served is not None and found.name in served.online,
        data=data,
        cutoffs=cutoffs,
        blocks=blocks,
        scores=scores,
        drift=drift[:_LAST],
        alignments=_alignments(home, found),
        limits=[*_limits(found, data, cutoffs, blocks, scores)],
    )


def write_card(home: Home, found: Card) -> Path:
    """Write a card's page, ``report/VERSION.html`` in the home, and return its path."""
    path = home.report.with_name(f"{found.version}.html")
    make_directory(path.parent)
    write_text(path, render_card(found))
    return path


def _data(warehouse: dict[str, Any] | None, quarantine: list[dict[str, Any]]) -> CardData | None:
    if not warehouse or warehouse["busy"]:
        return None
    spans = {name: warehouse["tables"][name] for name in EVENT_TYPES}
    tables = [CardTable(name=name, **span) for name, span in spans.items() if span["rows"]]
    return CardData(
        tables=tables,
        events=sum(table.rows for table in tables),
        clients=warehouse["clients"],
        relevant=warehouse["relevant"],
        complete_until=warehouse["complete_until"],
        deliveries=len(warehouse["batches"]),
        landed=sum(batch["landed"] for batch in warehouse["batches"]),
        quarantined=sum(row["rows"] for row in quarantine),
    )


def _served(served: Served) -> CardServed:
    return CardServed(
        cutoff=datetime.fromisoformat(served.cutoff),
        clients=served.clients,
        published_at=datetime.fromisoformat(served.published_at),
        online_store=served.online_store,
    )


def _cutoffs(home: Home, version: ProfileVersion) -> Iterator[CardCutoff]:
    """Describe all revisions of all snapshots, oldest first."""
    records = served_over_time(version, None)
    files = [describe_snapshot(path) for path in revision_paths(version.directory)]
    left_out: dict[Path, bool] = {}
    with suppress(UBPError), Warehouse(home.warehouse) as warehouse:
        left_out = {file.path: is_as_delivered(warehouse, file) for file in files}
    for file in files:
        times = [
            record.served_from
            for record in records
            if record.served_from and any(one.is_of(file) for one in record.snapshots)
        ]
        yield CardCutoff(
            cutoff=file.cutoff,
            revision=file.revision,
            clients=file.clients,
            created=file.created,
            partial=file.partial,
            as_delivered=left_out.get(file.path),
            served_from=min(times, default=None),
        )


def _blocks(version: ProfileVersion, forgotten: Forgotten) -> Iterator[CardBlock]:
    files, own = version.snapshots, version.own_parts
    side = Side.of(version, files) if files else None
    rows = side.rows(sampled(side.clients)) if side else np.empty((0, version.width), np.float32)
    for part in version.parts:
        columns = rows[:, part.start : part.start + part.width]
        absent = side.absent(part, columns) if side else None
        yield CardBlock(
            block=part.block,
            version=part.version,
            width=part.width,
            fit_cutoff=part.fit_cutoff,
            kind=part.kind if part in own else "mapped",
            reads=list(block_class(part.block).needs),
            coverage=None if absent is None or not len(absent) else float(1 - absent.mean()),
            forgotten=forgotten.learned_by(f"{part.block}/{part.version}"),
        )


def _scores(home: Home, version: ProfileVersion) -> CardScores | None:
    found = last_evaluation(home)
    if found is None or not found["profile"]:
        return None
    fits = {(block["name"], block["version"]) for block in found["blocks"]}
    if {name for name, _ in fits} != {part.block for part in version.parts}:
        return None
    scores = found["summary"]["scores"]
    without = {
        one["name"] for one in found["scores"]["representations"] if one["kind"] == "without"
    }
    rows = [one for one in scores if one["representation"] not in without]
    return CardScores(
        made_at=found["made_at"],
        cutoff=found["cutoff"],
        same_fits=fits == {(part.block, part.version) for part in version.parts},
        clients=found["clients"],
        sums={one["representation"]: one["mean"] for one in rows if one["task"] is None},
        tasks={
            one["task"]: one["mean"]
            for one in rows
            if one["task"] and one["representation"] == "profile"
        },
    )


def _alignments(home: Home, version: ProfileVersion) -> list[Alignment]:
    """Return how a version is mapped, how it is mapped elsewhere, and how others are into it."""
    every = [one.description.aligned for one in aligned_versions(home)]
    name = version.name
    return [one for one in every if one and name in (f"{one.of}@{one.to}", one.of, one.to)]


def _limits(
    version: ProfileVersion,
    data: CardData | None,
    cutoffs: list[CardCutoff],
    blocks: list[CardBlock],
    scores: CardScores | None,
) -> Iterator[str]:
    """Say plainly what the profiles do not know."""
    if cutoffs:
        newest = cutoffs[-1]
        yield f"Events from {shown(newest.cutoff)} UTC on are in no profile."
        if newest.partial:
            yield (
                f"At that cutoff {newest.clients:,} clients were encoded; the others have the "
                "profile of an earlier cutoff."
            )
    yield (
        f"Its models learned from events before {shown(version.model_cutoff)} UTC: training rows "
        "of an earlier time know more than could be known then."
    )
    there = {table.name for table in data.tables} if data else set(EVENT_TYPES)
    read = {name for block in blocks for name in block.reads}
    if data and (missing := [name for name in EVENT_TYPES if name not in there]):
        yield f"The log has no {_listed(missing)}: it says nothing of these."
    if unread := [name for name in EVENT_TYPES if name in there and name not in read]:
        yield f"No block reads {_listed(unread)}."
    for block in blocks:
        if block.coverage is not None and block.coverage < 1:
            yield (
                f"{block.block} knows nothing of {1 - block.coverage:.1%} of the clients: they "
                "have the mean of all there."
            )
    if most := max((block.forgotten for block in blocks), default=0):
        yield f"Its models learned from up to {most:,} clients who have been forgotten since."
    if data and data.quarantined:
        yield f"{data.quarantined:,} rows of deliveries are in quarantine, and in no profile."
    if data is None:
        yield "The log could not be read for this card."
    aligned = version.description.aligned
    of = f"of {aligned.to}" if aligned else "that were fitted on it"
    yield f"Its numbers are for models {of}, and mean nothing to models of another version."
    if scores is None:
        yield "How well its blocks predict has not been measured on this log."


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
