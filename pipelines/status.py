"""``ubp status``: what a home holds, how fresh it is, and what to do next."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from pipelines.compare import comparisons
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.registry import block_names
from ubp_platform.blocks.snapshot_files import SnapshotFile, inspect_snapshots
from ubp_platform.errors import DamagedFile, UBPError, WarehouseBusy, WarehouseMissing
from ubp_platform.evaluation.last import last_evaluation
from ubp_platform.events.schema import TABLES
from ubp_platform.forgotten import Forgotten, Unfinished
from ubp_platform.home import Home
from ubp_platform.profile.listing import inspect_aligned, inspect_versions
from ubp_platform.profile.version import ProfileVersion, encoded_from
from ubp_platform.settings import Settings
from ubp_platform.store.configuration import online_store
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse, delivery_times, landing, ledger
from ubp_platform.warehouse.delivery_times import Known
from ubp_platform.warehouse.gaps import gaps

Status = dict[str, Any]
Read = TypeVar("Read")


def status(home: Home) -> Status:
    """Describe a home.

    Parameters
    ----------
    home : Home

    Returns
    -------
    dict
        JSON-ready: ``home``, ``warehouse``, ``quarantine``, ``blocks``, ``cut_off`` (blocks whose
        fit can be resumed), ``profiles``, ``online_store`` (of this run), ``served``,
        ``evaluation`` (the last one), ``forgotten`` (how many clients), ``held_back`` (by ``ubp
        publish --if-healthy``), ``damaged`` (files, with cures) and ``next``.
    """
    damaged: list[DamagedFile] = []
    pointer, existing = _pointer(home, damaged)
    profiles = [_profile(version, damaged) for version in existing]
    warehouse, quarantine = _warehouse(home, pointer, existing, damaged)
    blocks = _blocks(home, damaged)
    served = _whole(damaged, lambda: _served(home, pointer, warehouse, existing))
    forgotten = _whole(damaged, lambda: _forgotten(home))
    held_back = _held_back(home, served)
    interrupted, online = cut_off(home), online_store(home)
    following = _next(warehouse, interrupted, profiles, served, online, held_back, forgotten)
    return {
        "home": str(home.root),
        "warehouse": warehouse,
        "quarantine": quarantine,
        "blocks": blocks,
        "cut_off": interrupted,
        "profiles": profiles,
        "online_store": online,
        "served": served,
        "evaluation": _whole(damaged, lambda: _evaluation(home)),
        "forgotten": forgotten,
        "held_back": held_back,
        "damaged": list(dict.fromkeys(map(str, damaged))),
        "next": "ubp doctor" if damaged else following,
    }


def what_is_next(home: Home) -> str:
    """Return the command that :func:`status` names, without what it counts besides."""
    damaged: list[DamagedFile] = []
    pointer, existing = _pointer(home, damaged)
    try:
        with Warehouse(home.warehouse) as opened:
            warehouse: dict[str, Any] | None = _freshness(opened, pointer, existing, damaged)
    except WarehouseMissing:
        warehouse = None
    except WarehouseBusy as busy:
        warehouse = {"busy": str(busy)}
    profiles = [_profile(version, damaged) for version in existing]
    served = _whole(damaged, lambda: _served(home, pointer, warehouse, existing))
    forgotten = _whole(damaged, lambda: _forgotten(home))
    found = _next(
        warehouse,
        cut_off(home),
        profiles,
        served,
        online_store(home),
        _held_back(home, served),
        forgotten,
    )
    return "ubp doctor" if damaged else found


def _pointer(home: Home, damaged: list[DamagedFile]) -> tuple[Served | None, list[ProfileVersion]]:
    """Return what is served, and all versions."""
    pointer = _whole(damaged, lambda: Served.read(home))
    existing, broken = inspect_versions(home)
    aligned, broken_too = inspect_aligned(home)
    damaged += [*broken, *broken_too]
    return pointer, [*existing, *aligned]


def _freshness(
    warehouse: Warehouse,
    served: Served | None,
    profiles: list[ProfileVersion],
    damaged: list[DamagedFile],
) -> dict[str, Any]:
    """Say what the log knows that profiles do not."""
    last = None
    with suppress(UBPError):  # no events
        last = warehouse.event_times()[1].isoformat()
    return {
        "busy": None,
        "changed": _changed(warehouse, served, profiles),
        "last_event": last,
        "complete_until": _complete_until(warehouse),
        "stale": {one.name: _stale(warehouse, one, damaged) for one in profiles},
    }


def _whole(damaged: list[DamagedFile], read: Callable[[], Read]) -> Read | None:
    """Return what a function reads, or note that a file is damaged."""
    try:
        return read()
    except DamagedFile as error:
        damaged.append(error)
        return None


def _warehouse(
    home: Home,
    served: Served | None,
    profiles: list[ProfileVersion],
    damaged: list[DamagedFile],
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    docs = home.data_docs / "index.html"
    try:
        with Warehouse(home.warehouse) as warehouse:
            tables = {name: asdict(warehouse.span(name)) for name in TABLES}
            landed = ledger.batches(warehouse.connection)
            held_back = ledger.quarantined(warehouse.connection)
            described = {
                "path": str(home.warehouse),
                **_freshness(warehouse, served, profiles, damaged),
                "tables": {name: _json(span) for name, span in tables.items()},
                "clients": warehouse.clients(),
                "busiest": dict(
                    zip(("client_id", "share"), warehouse.busiest() or (), strict=False)
                ),
                "relevant": None if warehouse.relevant is None else len(warehouse.relevant),
                "gaps": gaps_in(warehouse),
                "lateness_hours": delivery_times.lateness(warehouse.connection),
                "unknown_skus": landing.unknown_skus(warehouse.connection),
                "batches": [_json(batch) for batch in landed],
                "data_docs": str(docs) if docs.exists() else None,
            }
    except WarehouseMissing:
        return None, []
    except WarehouseBusy as busy:
        return {"path": str(home.warehouse), "busy": str(busy)}, []
    quarantine = [{"table": table, "rule": rule, "rows": rows} for table, rule, rows in held_back]
    return described, quarantine


def batches(home: Home) -> list[dict[str, Any]]:
    """Describe the batches of a home as JSON-ready values, oldest first."""
    with Warehouse(home.warehouse) as warehouse:
        return [_json(batch) for batch in ledger.batches(warehouse.connection)]


def _changed(warehouse: Warehouse, served: Served | None, profiles: list[ProfileVersion]) -> bool:
    """Whether more is known by now of the time before the served cutoff than it was made of."""
    if served is None:
        return False
    if warehouse.identity(datetime.fromisoformat(served.cutoff)) == served.identity:
        return False
    mine = next((one for one in profiles if one.name == served.version), None)
    snapshots = _whole([], lambda: mine.snapshots) if mine else None
    return not any(
        snapshot.made_from.history == served.identity and is_as_delivered(warehouse, snapshot)
        for snapshot in snapshots or []
    )


def complete_until(home: Home) -> datetime | None:
    """Return up to when the log is complete; None if it has no events."""
    with Warehouse(home.warehouse, wait=True) as warehouse:
        found = _complete_until(warehouse)
    return datetime.fromisoformat(found) if found else None


def _complete_until(warehouse: Warehouse) -> str | None:
    with suppress(UBPError):  # no events
        _, last = warehouse.event_times()
        return delivery_times.complete_until(warehouse.connection, last).isoformat()
    return None


def gaps_in(warehouse: Warehouse) -> list[str]:
    """Say which event types have days without an event where there should be some."""
    until = _complete_until(warehouse)
    if until is None:
        return []
    times = Settings.load().compare_gap
    found = gaps(warehouse.connection, datetime.fromisoformat(until), times)
    return [gap.sentence for gap in found]


def _stale(warehouse: Warehouse, version: ProfileVersion, damaged: list[DamagedFile]) -> list[str]:
    """Return the cutoffs of which more is known by now than when they were encoded."""
    found = []
    newest = {one.cutoff: one for one in _whole(damaged, lambda: version.snapshots) or []}
    for snapshot in newest.values():
        cutoff, history = snapshot.cutoff, snapshot.made_from.history
        same = warehouse.identity(cutoff) == history or is_as_delivered(warehouse, snapshot)
        if snapshot.made_from.fits and not same:
            found.append(cutoff.isoformat())
    return found


def is_as_delivered(warehouse: Warehouse, snapshot: SnapshotFile) -> bool:
    """Whether events were left out of a snapshot that were delivered later, and only these."""
    cutoff, history = snapshot.cutoff, snapshot.made_from.history
    if warehouse.identity(cutoff, Known(delivered_before=cutoff)) != history:
        return False
    # Where nothing had come late yet, it was made of all that was known.
    return warehouse.identity(cutoff, Known(landed_before=snapshot.created)) != history


def _blocks(home: Home, damaged: list[DamagedFile]) -> list[dict[str, Any]]:
    catalog, result = Catalog(home), []
    forgotten = _whole(damaged, lambda: Forgotten.read(home)) or Forgotten()
    for name in block_names():
        fits, broken = catalog.inspect(name)
        damaged += broken
        for fitted in fits:
            snapshots, broken = catalog.inspect_snapshots(name, fitted.version)
            damaged += broken
            result.append(
                {
                    "name": name,
                    "version": fitted.version,
                    "fit_cutoff": fitted.report.cutoff.isoformat(),
                    "cutoffs": [snapshot.cutoff.isoformat() for snapshot in snapshots],
                    "clients": snapshots[-1].clients if snapshots else 0,
                    "width": snapshots[-1].width if snapshots else None,
                    "loss": fitted.report.loss,
                    "seconds": fitted.report.seconds,
                    "note": fitted.report.note,
                    "forgotten": forgotten.learned_by(f"{name}/{fitted.version}"),
                }
            )
    return result


def cut_off(home: Home) -> list[str]:
    """Return the blocks with a checkpoint that is newer than their last complete fit."""
    found, catalog = [], Catalog(home)
    for name in block_names():
        saved = [path.stat().st_mtime for path in (home.checkpoints / name).glob("*.safetensors")]
        if not saved:
            continue
        fits, _ = catalog.inspect(name)
        complete = [fit for fit in fits if fit.report.complete]
        if not complete or max(saved) > complete[-1].directory.stat().st_mtime:
            found.append(name)
    return found


def _profile(version: ProfileVersion, damaged: list[DamagedFile]) -> dict[str, Any]:
    snapshots, broken = inspect_snapshots(version.directory)
    damaged += broken
    return {
        "version": version.name,
        "width": version.width,
        "aligned_with": version.description.aligned and version.description.aligned.to,
        "blocks": {part.block: part.version for part in version.parts},
        "created_at": version.description.created_at.isoformat(),
        "model_cutoff": version.model_cutoff.isoformat(),
        "cutoffs": list(dict.fromkeys(snapshot.cutoff.isoformat() for snapshot in snapshots)),
        "clients": max((one.clients for one in snapshots), default=0),
    }


def _served(
    home: Home,
    served: Served | None,
    warehouse: dict[str, Any] | None,
    existing: list[ProfileVersion],
) -> dict[str, Any] | None:
    if served is None:
        return None
    complete = (warehouse or {}).get("complete_until")
    behind = None
    if complete:
        late = datetime.fromisoformat(complete) - datetime.fromisoformat(served.cutoff)
        behind = max(0.0, round(late.total_seconds() / 86400, 2))
    cutoff = datetime.fromisoformat(served.cutoff)
    found = [encoded_from(home, v, cutoff) for v in existing if v.name == served.version]
    return {
        **served.model_dump(),
        "days_behind": behind,
        "late_events": bool((warehouse or {}).get("changed")),
        # Whether its cutoff has been encoded again since.
        "outdated": any(identity not in ("", served.identity) for identity in found),
    }


def _held_back(home: Home, served: dict[str, Any] | None) -> dict[str, Any] | None:
    """Describe the last comparison with what is served, if it stopped a publish."""
    if served is None:
        return None
    last = next(iter(comparisons(home)), None)
    if last is None or not last.crossed or last.a.version != served["version"]:
        return None
    if last.a.cutoff != datetime.fromisoformat(served["cutoff"]) or last.b == last.a:
        return None
    sides = [f"{one.version}/{as_argument(one.cutoff.isoformat())}" for one in (last.a, last.b)]
    return {
        "version": last.b.version,
        "cutoff": last.b.cutoff.isoformat(),
        "why": [one.sentence for one in last.crossed],
        "look": f"ubp compare {' '.join(sides)}",
    }


def as_argument(time: str) -> str:
    """Return a time as it is given on a command line: a day, where it is a midnight."""
    return time.removesuffix("+00:00").removesuffix("T00:00:00")


def _forgotten(home: Home) -> dict[str, Any] | None:
    found, unfinished = Forgotten.read(home), Unfinished.read(home) is not None
    if not found.log and not unfinished:
        return None
    return {
        "clients": sum(entry.clients for entry in found.log),
        "last": found.log[-1].at.isoformat() if found.log else None,
        "refused": len(found.refused),
        "unfinished": unfinished,
    }


def _evaluation(home: Home) -> dict[str, Any] | None:
    found = last_evaluation(home)
    if found is None:
        return None
    scores = found["scores"]
    compared = [row["name"] for row in scores["representations"] if row["kind"] != "without"]
    return {
        "made_at": found["made_at"],
        "cutoff": found["cutoff"],
        "network": scores["network"],
        "tasks": [task["name"] for task in scores["tasks"]],
        "sums": {name: scores["sums"][name] for name in compared},
        "report": str(home.report),
    }


def _next(
    warehouse: dict[str, Any] | None,
    cut_off: list[str],
    profiles: list[dict[str, Any]],
    served: dict[str, Any] | None,
    online: str,
    held_back: dict[str, Any] | None,
    forgotten: dict[str, Any] | None,
) -> str:
    if forgotten and forgotten["unfinished"]:
        return "ubp forget"
    following = _following(warehouse, cut_off, profiles, served, online)
    return held_back["look"] if held_back and following.startswith("ubp publish") else following


def _following(
    warehouse: dict[str, Any] | None,
    cut_off: list[str],
    profiles: list[dict[str, Any]],
    served: dict[str, Any] | None,
    online: str,
) -> str:
    if warehouse and warehouse["busy"]:
        return "ubp status, when the other process has finished"
    if warehouse is None or not warehouse["last_event"]:
        return "ubp ingest SOURCE"
    if not profiles:
        return "ubp train --resume" if cut_off else "ubp train"
    newest = [one for one in profiles if not one["aligned_with"]][-1]
    if not served:
        return "ubp publish"
    if served["version"] != newest["version"] and newest["created_at"] >= served["published_at"]:
        return "ubp publish"
    mine = next((found for found in profiles if found["version"] == served["version"]), newest)
    # An older version is served on purpose: it was published after the newest was made.
    option = "" if mine is newest else f" --profile-version {mine['version']}"
    last = mine["cutoffs"][-1] if mine["cutoffs"] else ""
    if last in warehouse["stale"].get(mine["version"], []) or last < warehouse["complete_until"]:
        # The default cutoff, unless one within a day that has begun since was encoded.
        of = f" --cutoff {as_argument(last)}" if last > warehouse["complete_until"] else ""
        return f"ubp refresh{of}{option} && ubp publish{option}"
    later = last > served["cutoff"]
    if later or served["outdated"] or served["online_store"] != online:
        return f"ubp publish{option}"
    if served["late_events"]:
        return f"ubp refresh{option} && ubp publish{option}"
    return "ubp profile CLIENT_ID"


def next_after_delivery(home: Home) -> str:
    """Return the command that takes a delivery in, for the version that is served."""
    existing, _ = inspect_versions(home)
    if not existing:
        return "ubp train"
    served = Served.read_if_whole(home)
    # Whoever served an older version than the newest did so on purpose.
    option = ""
    if served and served.version != existing[-1].name:
        if existing[-1].description.created_at.isoformat() >= served.published_at:
            return "ubp publish"
        option = f" --profile-version {served.version}"
    return f"ubp refresh{option} && ubp publish{option}"


def _json(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }
