"""What the commands did, as tables for people."""

import shlex
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ubp_platform.layouts import RELEVANT_CLIENTS
from ubp_platform.store.served import Served

# Of so many clients none is expected to have such a share of all events.
_MANY, _TOO_BUSY = 100, 0.2
# Of so many batches a line is shown.
_BATCHES = 5

if TYPE_CHECKING:
    from pipelines.explain import Explanation
    from pipelines.ingest import Ingested
    from pipelines.train import Trained
    from ubp_platform.layouts.description import Layout
    from ubp_platform.simulation.simulator import SimulatedFile


class PlainTable(Table):
    """A table whose numbers are never cut."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; columns of numbers become as wide as it takes."""
        super().add_row(*cells, **options)
        for column, cell in zip(self.columns, cells, strict=False):
            if column.justify == "right" and isinstance(cell, str):
                width = Text.from_markup(cell).cell_len
                column.min_width = max(column.min_width or 0, width)


def plain_table(title: str, *columns: str, numbers: Iterable[str] = ()) -> PlainTable:
    """Make a table without vertical lines, for 80 columns.

    Parameters
    ----------
    title : str
    *columns : str
    numbers : iterable of str
        The columns to align at the right.
    """
    table = PlainTable(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        # A title is not broken over lines.
        min_width=min(len(title) + 1, 79),
    )
    for column in columns:
        if column in numbers:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    return table


def show_ingested(console: Console, result: "Ingested") -> None:
    """Say what became of each table's rows."""
    if result.skipped and result.batch is not None:
        for name, batch in result.skipped:
            text = f"{name}: landed before, in batch {batch}; skipped"
            console.print(text, highlight=False, markup=False)
    if result.batch is not None:
        numbers = ["rows", "landed", "known", "quarantined"]
        if any(file.repeated for file in result.files):
            numbers.append("repeated")
        table = plain_table(f"Batch {result.batch}", "table", *numbers, numbers=numbers)
        for file in result.files:
            counts = (file.read, file.landed, file.known, file.quarantined, file.repeated)
            table.add_row(file.table, *(f"{count:,}" for count in counts[: len(numbers)]))
        console.print(table)
    for note in result.notes:
        console.print(note, highlight=False, markup=False)
    if result.data_docs:
        console.print(
            f"Data Docs: {result.data_docs}", highlight=False, soft_wrap=True, markup=False
        )
    if result.batch is None:
        batches = sorted({batch for _, batch in result.skipped})
        which = f"batch{'es' * (len(batches) > 1)} {', '.join(map(str, batches))}"
        console.print(f"Nothing new: all of it landed before, in {which}", highlight=False)


def show_layouts(console: Console, layouts: "Iterable[Layout]") -> None:
    """Say what each layout is for, and which tables it gives."""
    table = plain_table("Layouts", "layout", "note", "tables")
    for layout in layouts:
        table.add_row(layout.name, escape(layout.description.about), f"{len(layout.tables)} of 6")
    console.print(table)
    console.print("[bold]Next[/bold]", end=" ")
    console.print("ubp ingest SOURCE", highlight=False, markup=False)


def show_simulated(console: Console, directory: Path, files: "list[SimulatedFile]") -> None:
    """Say what was written, and what to do with it."""
    numbers = ("rows", "clients")
    table = plain_table("Simulated", "file", *numbers, numbers=numbers)
    for file in files:
        clients = "" if file.clients is None else f"{file.clients:,}"
        table.add_row(file.path.name, f"{file.rows:,}", clients)
    console.print(table)
    command = f"ubp ingest {shlex.quote(str(directory))}"
    for listed in (file.path for file in files if file.path.name == RELEVANT_CLIENTS):
        command += f" && ubp clients {shlex.quote(str(listed))}"
    console.print("[bold]Next[/bold]", end=" ")
    console.print(command, highlight=False, soft_wrap=True, markup=False)


def show_trained(console: Console, result: "Trained") -> None:
    """Say which blocks were fitted, and what the profile is made of."""
    table = plain_table(
        f"Blocks fitted on events before {_when(result.cutoff)}",
        *("block", "version", "clients", "loss", "seconds", "note"),
        numbers=("clients", "loss", "seconds"),
    )
    for fitted in result.fitted:
        report = fitted.report
        loss = "" if report.loss is None else f"{report.loss:.4f}"
        table.add_row(
            *(fitted.name, fitted.version, f"{report.clients:,}", loss),
            *(f"{report.seconds:.1f}", escape(report.note)),
        )
    for fitted in result.reused:
        table.add_row(fitted.name, fitted.version, "", "", "", "fitted before")
    told = {fitted.name for fitted in (*result.fitted, *result.reused)}
    for part in result.profile.parts:
        if part.block not in told:
            note = f"kept, fitted to {_when(part.fit_cutoff)}"
            table.add_row(part.block, part.version, "", "", "", note)
    console.print(table)
    reasons: dict[str, list[str]] = {}
    for name, reason in result.unavailable.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        line = f"Left out {', '.join(names)}: {reason}"
        console.print(line, highlight=False, markup=False)
    if result.skipped:
        console.print(f"Skipped {', '.join(result.skipped)}", highlight=False)
    profile = result.profile
    parts = ", ".join(f"{part.block} {part.width}" for part in profile.parts)
    console.print(f"Profile {profile.name}, {profile.width} numbers: {parts}", highlight=False)


def blocks_table(described: list[dict[str, Any]]) -> Table:
    """Render what :func:`pipelines.blocks.blocks` found."""
    from pipelines.blocks import reads

    table = plain_table(
        "Blocks, in the order of the profile",
        *("block", "paper", "reads", "width", "v", "loss", "seconds"),
        numbers=("loss", "seconds"),
    )
    for block in described:
        width = "" if block["width"] is None else str(block["width"])
        if width and block["components"]:
            width += f"→{min(block['components'], block['width'])}"
        loss = "" if block["loss"] is None else f"{block['loss']:.3f}"
        seconds = "" if block["seconds"] is None else f"{block['seconds']:.0f}"
        table.add_row(
            *(block["name"], block["section"], reads(block["needs"]), width),
            *(block["version"] or "—", loss, seconds),
        )
    return table


def explanation_tables(found: "Explanation", rows: int) -> RenderableType:
    """Render what :func:`pipelines.explain.explain` found, with so many newest events."""
    fields = list(found.true)
    true, decoded = (
        list(zip(*(words[field] for field in fields), strict=True))
        for words in (found.true, found.decoded)
    )
    title = (
        f"[bold]Client {found.client_id} before {_when(found.cutoff)}, decoded from {found.block} "
        f"{found.version}[/bold]: the newest of the {len(true):,} steps that it reads"
    )
    events = plain_table(
        "",
        *("#", "", *fields),
        numbers=("#", *(field for field in fields if field != "event_type")),
    )
    nothing = ("",) * len(fields)
    longest = max(len(true), len(decoded))
    for place in range(max(0, longest - rows), longest):
        real = true[place] if place < len(true) else nothing
        ours = decoded[place] if place < len(decoded) else nothing
        pairs = zip(real, ours, strict=True)
        marked = [f"[green]{b}" if a == b else f"[red]{b}" for a, b in pairs]
        events.add_row(str(place + 1), "true", *real)
        events.add_row("", "decoded", *marked, end_section=True)
    recalls = plain_table(
        "How much came back",
        *("field", "values", "in its place", "anywhere", "by guessing"),
        numbers=("values", "in its place", "anywhere", "by guessing"),
    )
    for recall in found.recalls:
        if not recall.values:
            continue
        shares = (recall.in_place, recall.anywhere, recall.guess)
        shown = ("" if share is None else f"{share:.0%}" for share in shares)
        recalls.add_row(recall.field, f"{recall.values:,}", *shown)
    legend = (
        "The vector alone was decoded, from the oldest event on. Values: those that the block can "
        "tell apart; others are 'rare'. In its place: where it belongs. Anywhere: at all, as "
        "often as it occurred. By guessing: the shop's most frequent value every time. Days and "
        "weeks count back from the cutoff."
    )
    return Group(title, events, recalls, legend)


def made_of(
    unknown: int, fitted: list[str], reused: list[str], left_out: dict[str, str]
) -> list[str]:
    """Say what the profile of a split is made of.

    Parameters
    ----------
    unknown : int
        Listed clients without a profile.
    fitted, reused : list of str
        Blocks that were fitted for it, and that had been fitted before.
    left_out : dict of str to str
        Blocks and tasks, with the reason.
    """
    lines = []
    if unknown:
        lines.append(f"{unknown:,} of them have no event that these blocks read: the mean profile")
    for verb, names in (("Fitted now", fitted), ("Fitted before", reused)):
        if names:
            lines.append(f"{verb}: {', '.join(names)}")
    return [*lines, *(f"Left out {name}: {reason}" for name, reason in left_out.items())]


def show_served(console: Console, served: Served) -> None:
    """Say what is served."""
    console.print(
        f"Serving profile {served.version} of {_clients(served.clients)}, as of "
        f"{_when(served.cutoff)}{_where(served.online_store)}",
        highlight=False,
    )


def status_tables(status: dict[str, Any]) -> RenderableType:
    """Render what :func:`pipelines.status.status` found."""
    parts: list[RenderableType] = [f"[bold]Home[/bold] {escape(status['home'])}"]
    parts += _warehouse_tables(status["warehouse"])
    if status["quarantine"]:
        table = plain_table("Quarantine", "table", "rule", "rows", numbers=("rows",))
        for row in status["quarantine"]:
            table.add_row(row["table"], escape(row["rule"]), f"{row['rows']:,}")
        parts.append(table)
    if status["blocks"]:
        numbers = ("clients", "width", "loss")
        table = plain_table(
            "Blocks",
            *("block", "v", "fitted to", "cutoffs", "clients", "width", "loss"),
            numbers=numbers,
        )
        for block in status["blocks"]:
            loss = "" if block["loss"] is None else f"{block['loss']:.3f}"
            width = "" if block["width"] is None else str(block["width"])
            table.add_row(
                *(block["name"], block["version"], _when(block["fit_cutoff"])),
                *(_cutoffs(block["cutoffs"]), f"{block['clients']:,}", width, loss),
            )
        parts.append(table)
    if status["cut_off"]:
        parts.append(
            f"[bold]Cut off[/bold] {', '.join(status['cut_off'])}: the same `ubp train` goes on "
            "with --resume, `ubp evaluate` by itself"
        )
    if status["profiles"]:
        served = (status["served"] or {}).get("version")
        table = plain_table(
            "Profiles",
            *("version", "width", "cutoffs", "clients", "served"),
            numbers=("width", "clients"),
        )
        for profile in status["profiles"]:
            table.add_row(
                *(profile["version"], str(profile["width"]), _cutoffs(profile["cutoffs"])),
                *(f"{profile['clients']:,}", "yes" if profile["version"] == served else ""),
            )
        parts.append(table)
    if served := status["served"]:
        behind = served["days_behind"]
        days = f"{behind:g} day{'s' * (behind != 1)}" if behind else ""
        fresh = f", {days} behind the newest event" if behind else ", up to date"
        if served["late_events"]:
            fresh = ", but events from before then, products or another list of clients have come"
        parts.append(
            f"[bold]Served[/bold] profile {served['version']} of {_clients(served['clients'])}, "
            f"as of {_when(served['cutoff'])}{_where(served['online_store'])}"
            f"{fresh if behind is not None else ''}"
        )
    if evaluation := status["evaluation"]:
        best = sorted(evaluation["sums"], key=evaluation["sums"].__getitem__, reverse=True)[:3]
        told = ", ".join(f"{escape(name)} {evaluation['sums'][name]:.3f}" for name in best)
        tasks = len(evaluation["tasks"])
        parts.append(
            f"[bold]Evaluation[/bold] of {tasks} task{'s' * (tasks > 1)} after "
            f"{_when(evaluation['cutoff'])}, best sums of scores: {told}. Report: "
            f"{escape(evaluation['report'])}"
        )
    parts.append(f"[bold]Next[/bold] {status['next']}")
    return Group(*parts)


def _warehouse_tables(warehouse: dict[str, Any] | None) -> list[RenderableType]:
    if warehouse is None:
        return ["[bold]Warehouse[/bold] none yet"]
    if warehouse["busy"]:
        return [f"[bold]Warehouse[/bold] {escape(warehouse['busy'])}"]
    clients = _clients(warehouse["clients"])
    if warehouse["relevant"] is not None:
        clients += f" ({warehouse['relevant']:,} relevant)"
    table = plain_table(
        f"Warehouse: {clients}, batches: {len(warehouse['batches'])}",
        *("table", "rows", "clients", "first event", "last event"),
        numbers=("rows", "clients"),
    )
    for name, span in warehouse["tables"].items():
        if span["rows"]:
            clients = f"{span['clients']:,}" if span["first"] else ""
            table.add_row(
                name, f"{span['rows']:,}", clients, _day(span["first"]), _day(span["last"])
            )
    lines: list[RenderableType] = [table]
    if warehouse["batches"]:
        numbers = ("batch", "landed", "known", "quarantined")
        last = warehouse["batches"][-_BATCHES:]
        title = "Batches" if len(last) == len(warehouse["batches"]) else "The last batches"
        batches = plain_table(title, "batch", "landed at", "source", *numbers[1:], numbers=numbers)
        for one in last:
            cells = (str(one["batch"]), _when(one["landed_at"]), escape(str(one["source"])))
            batches.add_row(*cells, *(f"{one[name]:,}" for name in numbers[1:]))
        lines.append(batches)
    if warehouse["unknown_skus"]:
        lines.append(f"{warehouse['unknown_skus']:,} events are of skus without properties")
    busiest = warehouse["busiest"]
    if busiest and warehouse["clients"] >= _MANY and busiest["share"] > _TOO_BUSY:
        lines.append(
            f"Client {escape(str(busiest['client_id']))} alone has {busiest['share']:.0%} of all "
            "events: a person, or a till, a robot, an id that stands for many?"
        )
    if warehouse["data_docs"]:
        lines.append(f"[bold]Data Docs[/bold] {escape(warehouse['data_docs'])}")
    return lines


def _clients(count: int) -> str:
    return f"{count:,} client{'s' * (count != 1)}"


def _where(online_store: str) -> str:
    """Name the online store where it is not the usual one."""
    return "" if online_store == "sqlite" else f", in {online_store}"


def _cutoffs(cutoffs: list[str]) -> str:
    if len(cutoffs) < 2:
        return "".join(map(_when, cutoffs))
    return f"{len(cutoffs)}, last {_when(cutoffs[-1])}"


def _day(time: str | None) -> str:
    return time[:10] if time else ""


def _when(time: datetime | str | None) -> str:
    if time is None:
        return ""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{moment:%Y-%m-%d}" if moment.time() == datetime.min.time() else f"{moment:%F %H:%M}"
