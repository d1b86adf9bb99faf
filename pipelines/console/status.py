"""The state of a home, as tables for people."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from pipelines.console.deliveries import COUNTS
from pipelines.console.tables import client_count, cutoffs, day, in_store, plain_table, when
from pipelines.next_step import as_argument

# A client with a larger share of all events is pointed out, among so many clients at least.
_TOO_BUSY, _MANY = 0.2, 100
# Later than that, in hours, are histories, and no deliveries of a day.
_HISTORY = 30 * 24
# Number of batches shown, the latest ones.
_BATCHES = 5


def status_tables(status: dict[str, Any]) -> RenderableType:
    """Render what :func:`pipelines.status.status` returns."""
    parts: list[RenderableType] = [f"[bold]Home[/bold] {escape(status['home'])}"]
    parts += _warehouse(status["warehouse"])
    parts += map(_lake, status["lakes"])
    if status["quarantine"]:
        table = plain_table("Quarantine", ["table", "rule", "rows"], numbers=["rows"])
        for row in status["quarantine"]:
            table.add_row(row["table"], escape(row["rule"]), f"{row['rows']:,}")
        parts.append(table)
    if status["blocks"]:
        parts.append(_blocks(status["blocks"]))
    if status["cut_off"]:
        parts.append(
            f"[bold]Interrupted[/bold] {', '.join(status['cut_off'])}: the same `ubp train` with "
            "--resume finishes the fit; `ubp evaluate` resumes by itself"
        )
    if status["profiles"]:
        served_version = (status["served"] or {}).get("version")
        parts.append(_profiles(status["profiles"], served_version))
    if status["served"]:
        parts.append(_served(status["served"]))
    if status["evaluation"]:
        parts.append(_evaluation(status["evaluation"]))
    if status["held_back"]:
        held = status["held_back"]
        parts.append(
            f"[bold red]Held back[/bold red] profile {held['version']} as of "
            f"{when(held['cutoff'])}, it differs too much from what is served "
            f"({'; '.join(held['why'])}). Mend the delivery (`ubp revert BATCH`, `ubp ingest "
            "--replace BATCH`), or publish it all the same: `ubp publish`"
        )
    if status["forgotten"]:
        parts.append(_forgotten(status["forgotten"], status["blocks"]))
    parts += [f"[bold red]Damaged[/bold red] {escape(one)}" for one in status["damaged"]]
    parts.append(f"[bold]Next[/bold] {status['next']}")
    return Group(*parts)


def _warehouse(warehouse: dict[str, Any] | None) -> list[RenderableType]:
    if warehouse is None:
        return ["[bold]Warehouse[/bold] none yet"]
    if warehouse["busy"]:
        return [f"[bold]Warehouse[/bold] {escape(warehouse['busy'])}"]
    if not warehouse["batches"]:
        return ["[bold]Warehouse[/bold] empty"]
    clients = client_count(warehouse["clients"])
    if warehouse["relevant"] is not None:
        clients += f" ({warehouse['relevant']:,} relevant)"
    table = plain_table(
        f"Warehouse: {clients}, batches: {len(warehouse['batches'])}",
        ["table", "rows", "clients", "first event", "last event"],
        numbers=["rows", "clients"],
    )
    for name, span in warehouse["tables"].items():
        if span["rows"]:
            count = f"{span['clients']:,}" if span["first"] else ""
            table.add_row(name, f"{span['rows']:,}", count, day(span["first"]), day(span["last"]))
    lines: list[RenderableType] = [table]
    if warehouse["batches"]:
        lines.append(_batches(warehouse["batches"]))
    lines += _times(warehouse)
    if warehouse["unknown_skus"]:
        lines.append(f"{warehouse['unknown_skus']:,} events are of skus without properties")
    busiest = warehouse["busiest"]
    if busiest and warehouse["clients"] >= _MANY and busiest["share"] > _TOO_BUSY:
        lines.append(
            f"Client {escape(str(busiest['client_id']))} alone has {busiest['share']:.0%} of all "
            "events: a person, or a till, a robot, an id shared by many?"
        )
    if warehouse["data_docs"]:
        lines.append(f"[bold]Data Docs[/bold] {escape(warehouse['data_docs'])}")
    return lines


def _times(warehouse: dict[str, Any]) -> Iterator[str]:
    """Say up to when the log is complete, how late events come, and which cutoffs are stale."""
    if warehouse["complete_until"]:
        line = f"The log is complete until {when(warehouse['complete_until'])}"
        late = warehouse["lateness_hours"]
        if late and late[0] < _HISTORY:
            median, most = map(_hours, late)
            line += f"; half of the events are delivered within {median}, 99% within {most}"
        yield line
    for gap in warehouse["gaps"]:
        yield f"{gap}: was the shop closed, or is a delivery missing or cut off?"
    for version, times in warehouse["stale"].items():
        if times:
            options = " ".join(f"--cutoff {time}" for time in map(as_argument, times))
            yield (
                f"Profile {version} was encoded before events, products or another list of clients "
                f"came for {cutoffs(times)}: `ubp encode {options} --profile-version {version}` "
                "makes new revisions"
            )


def _hours(hours: float) -> str:
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"


def _batches(batches: list[dict[str, Any]]) -> Table:
    last = batches[-_BATCHES:]
    title = "Batches" if len(last) == len(batches) else "The last batches"
    counts = ["landed", "landed before", "quarantined"]
    columns = ["batch", "landed at", "source", *counts]
    table = plain_table(title, columns, numbers=["batch", *counts])
    for one in last:
        cells = (str(one["batch"]), when(one["landed_at"]), escape(str(one["source"])))
        table.add_row(*cells, *(f"{one[name]:,}" for name in COUNTS))
    return table


def _lake(lake: dict[str, Any]) -> str:
    line = f"[bold]Lake[/bold] {escape(lake['place'])}"
    if lake["events"] is None:
        return f"{line}: `ubp doctor` looks into it"
    line += f": {lake['events']:,} events, buckets: {lake['buckets']:,}"
    if not lake["used"]:
        return f"{line}; not in use now"
    return line if lake["current"] else f"{line}; batches have come or gone since: `ubp lake`"


def _blocks(blocks: list[dict[str, Any]]) -> Table:
    columns = ["block", "v", "fitted to", "cutoffs", "clients", "width", "loss"]
    table = plain_table("Blocks", columns, numbers=["clients", "width", "loss"])
    for block in blocks:
        loss = "" if block["loss"] is None else f"{block['loss']:.3f}"
        width = "" if block["width"] is None else str(block["width"])
        cells = (block["name"], block["version"], when(block["fit_cutoff"]))
        table.add_row(*cells, cutoffs(block["cutoffs"]), f"{block['clients']:,}", width, loss)
    return table


def _profiles(profiles: list[dict[str, Any]], served: str | None) -> Table:
    columns = ["version", "width", "cutoffs", "clients", "served"]
    table = plain_table("Profiles", columns, numbers=["width", "clients"])
    for profile in profiles:
        version, clients = profile["version"], f"{profile['clients']:,}"
        marked = "yes" if version == served else ""
        table.add_row(version, str(profile["width"]), cutoffs(profile["cutoffs"]), clients, marked)
    return table


def _served(served: dict[str, Any]) -> str:
    behind = served["days_behind"]
    if served["late_events"]:
        fresh = ", but events from before then, products or another list of clients have come"
    elif behind:
        fresh = f", {behind:g} day{'s' * (behind != 1)} behind the log"
    else:
        fresh = ", up to date" if behind is not None else ""
    return (
        f"[bold]Served[/bold] profile {served['version']} of {client_count(served['clients'])}, "
        f"as of {when(served['cutoff'])}{in_store(served['online_store'])}{fresh}"
    )


def _forgotten(forgotten: dict[str, Any], blocks: list[dict[str, Any]]) -> str:
    line = f"[bold]Forgotten[/bold] {client_count(forgotten['clients'])}"
    if most := max((block["forgotten"] for block in blocks), default=0):
        of = next(block for block in blocks if block["forgotten"] == most)
        line += f"; fits may have learned from up to {most:,} ({of['name']} {of['version']})"
    if forgotten["unfinished"]:
        line += "; [bold red]more were begun, and not finished[/bold red]"
    return line


def _evaluation(evaluation: dict[str, Any]) -> str:
    sums, tasks = evaluation["sums"], len(evaluation["tasks"])
    best = sorted(sums, key=sums.__getitem__, reverse=True)[:3]
    scores = ", ".join(f"{escape(name)} {sums[name]:.3f}" for name in best)
    return (
        f"[bold]Evaluation[/bold] of {tasks} task{'s' * (tasks > 1)} after "
        f"{when(evaluation['cutoff'])}, best sums of scores: {scores}. Report: "
        f"{escape(evaluation['report'])}"
    )
