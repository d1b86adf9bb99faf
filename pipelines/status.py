"""``ubp status``: what a home holds, how fresh it is, and what to do next."""

from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.compare import comparisons
from pipelines.freshness import freshness, gaps_in
from pipelines.next_step import as_argument, next_step
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.registry import block_names
from ubp_platform.blocks.snapshot_files import inspect_snapshots
from ubp_platform.errors import DamagedFile, WarehouseBusy, WarehouseMissing, or_note
from ubp_platform.evaluation.last import last_evaluation
from ubp_platform.events.schema import TABLES
from ubp_platform.forgotten import Forgotten, Unfinished
from ubp_platform.home import Home
from ubp_platform.lake.manifest import NAME, Manifest
from ubp_platform.lake.opening import address_of, known_lakes
from ubp_platform.lake.place import Place, normal
from ubp_platform.profile.listing import inspect_aligned, inspect_versions
from ubp_platform.profile.version import ProfileVersion, encoded_from
from ubp_platform.store.configuration import online_store
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse, delivery_times, landing, ledger

Status = dict[str, Any]


def status(home: Home) -> Status:
    """Describe a home.

    Parameters
    ----------
    home : Home

    Returns
    -------
    dict
        JSON-ready: ``home``, ``warehouse``, ``quarantine``, ``lakes``, ``blocks``, ``cut_off``
        (blocks whose fit can be resumed), ``profiles``, ``online_store`` (of this run), ``served``,
        ``evaluation`` (the last one), ``forgotten`` (how many clients), ``held_back`` (by ``ubp
        publish --if-healthy``), ``damaged`` (files, with cures) and ``next``.
    """
    damaged: list[DamagedFile] = []
    pointer, existing = _pointer(home, damaged)
    warehouse, quarantine = _warehouse(home, pointer, existing, damaged)
    found = {
        "home": str(home.root),
        "quarantine": quarantine,
        **_what_decides(home, pointer, existing, warehouse, damaged),
        "lakes": _lakes(home, warehouse, damaged),
        "blocks": _blocks(home, damaged),
        "evaluation": or_note(damaged, lambda: _evaluation(home)),
    }
    following = "ubp doctor" if damaged else next_step(found)
    return {**found, "damaged": list(dict.fromkeys(map(str, damaged))), "next": following}


def what_is_next(home: Home) -> str:
    """Return the command that :func:`status` names, without what it counts besides."""
    damaged: list[DamagedFile] = []
    pointer, existing = _pointer(home, damaged)
    try:
        with Warehouse(home.warehouse) as opened:
            warehouse: dict[str, Any] | None = freshness(opened, pointer, existing, damaged)
    except WarehouseMissing:
        warehouse = None
    except WarehouseBusy as busy:
        warehouse = {"busy": str(busy)}
    found = _what_decides(home, pointer, existing, warehouse, damaged)
    return "ubp doctor" if damaged else next_step(found)


def _what_decides(
    home: Home,
    pointer: Served | None,
    existing: list[ProfileVersion],
    warehouse: dict[str, Any] | None,
    damaged: list[DamagedFile],
) -> Status:
    """Return those parts of the status that say what is next."""
    served = or_note(damaged, lambda: _served(home, pointer, warehouse, existing))
    return {
        "warehouse": warehouse,
        "cut_off": cut_off(home),
        "profiles": [_profile(version, damaged) for version in existing],
        "online_store": online_store(home),
        "served": served,
        "held_back": _held_back(home, served),
        "forgotten": or_note(damaged, lambda: _forgotten(home)),
    }


def _pointer(home: Home, damaged: list[DamagedFile]) -> tuple[Served | None, list[ProfileVersion]]:
    """Return what is served, and all versions."""
    pointer = or_note(damaged, lambda: Served.read(home))
    existing, broken = inspect_versions(home)
    aligned, broken_too = inspect_aligned(home)
    damaged += [*broken, *broken_too]
    return pointer, [*existing, *aligned]


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
                **freshness(warehouse, served, profiles, damaged),
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


def _lakes(
    home: Home, warehouse: dict[str, Any] | None, damaged: list[DamagedFile]
) -> list[dict[str, Any]]:
    """Describe the lakes; those in object stores, which may not answer, by their address alone."""
    landed = {str(one["batch"]): one["landed_at"] for one in (warehouse or {}).get("batches", [])}
    used, found = normal(address_of(home)), []
    for url, owner in known_lakes(home).items():
        manifest = None
        if "://" not in url:
            if not (Path(url) / NAME).is_file():
                continue
            manifest = or_note(damaged, partial(Manifest.read, Place(url)))
            if manifest is None or manifest.owner != owner:  # another home has replaced it
                continue
        found.append(
            {
                "place": url,
                "used": url == used,
                "events": manifest and manifest.events,
                "buckets": manifest and len(manifest.buckets),
                "current": manifest and manifest.batches == landed,
            }
        )
    return found


def batches(home: Home) -> list[dict[str, Any]]:
    """Describe the batches of a home as JSON-ready values, oldest first."""
    with Warehouse(home.warehouse) as warehouse:
        return [_json(batch) for batch in ledger.batches(warehouse.connection)]


def _blocks(home: Home, damaged: list[DamagedFile]) -> list[dict[str, Any]]:
    catalog, result = Catalog(home), []
    forgotten = or_note(damaged, lambda: Forgotten.read(home)) or Forgotten()
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


def _json(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }
