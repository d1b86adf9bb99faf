"""Blocks and profiles, as tables for people."""

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from pipelines.blocks import reads
from pipelines.console.output import say, say_next, show
from pipelines.console.tables import client_count, in_store, plain_table, when

# Differences shown.
_SHOWN = 20

if TYPE_CHECKING:
    from pipelines.audit import Audit
    from pipelines.encode import Encoded
    from pipelines.explain import Explanation
    from pipelines.export import Exported
    from pipelines.refresh import Refreshed
    from pipelines.train import Trained
    from ubp_platform.profile.version import ProfileVersion
    from ubp_platform.store.served import Served


def show_trained(result: "Trained") -> None:
    """Show the fitted blocks and the blocks of the new profile."""
    table = plain_table(
        f"Blocks fitted on events before {when(result.cutoff)}",
        ["block", "version", "clients", "loss", "seconds", "note"],
        numbers=("clients", "loss", "seconds"),
    )
    for fitted in result.fitted:
        report = fitted.report
        loss = "" if report.loss is None else f"{report.loss:.4f}"
        numbers = [f"{report.clients:,}", loss, f"{report.seconds:.1f}"]
        table.add_row(fitted.name, fitted.version, *numbers, escape(report.note))
    for fitted in result.reused:
        table.add_row(fitted.name, fitted.version, "", "", "", "fitted before")
    shown = {fitted.name for fitted in (*result.fitted, *result.reused)}
    for part in result.profile.parts:
        if part.block not in shown:
            note = f"kept, fitted to {when(part.fit_cutoff)}"
            table.add_row(part.block, part.version, "", "", "", note)
    show(table)
    reasons: dict[str, list[str]] = {}
    for name, reason in result.unavailable.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        say(f"Left out {', '.join(names)}: {reason}")
    if result.skipped:
        say(f"Skipped {', '.join(result.skipped)}")
    profile = result.profile
    parts = ", ".join(f"{part.block} {part.width}" for part in profile.parts)
    say(f"Profile {profile.name}, {profile.width} numbers: {parts}")


def show_aligned(version: "ProfileVersion") -> None:
    """Show how well a version fits into the space of another one."""
    aligned = version.description.aligned
    if aligned is None:
        return
    title = f"{version.name}, by {client_count(aligned.anchors)} at {when(aligned.cutoff)}"
    table = plain_table(
        title, ["block", "width", "map", "explained"], numbers=("width", "explained")
    )
    for part, block in zip(version.parts, aligned.blocks, strict=True):
        share = "" if block.explained is None else f"{block.explained:.3f}"
        table.add_row(part.block, str(part.width), _MAPS[block.method], share)
    show(table)
    if aligned.scores and aligned.scored_at:
        columns = [aligned.to, f"{aligned.of} as it is", version.name, f"{aligned.of}, refitted"]
        scores = plain_table(
            f"AUROC of models fitted on {aligned.to}, at {when(aligned.scored_at)}",
            ["task", "model", *columns, "recovered"],
            numbers=(*columns, "recovered"),
        )
        for one in aligned.scores:
            raw = "—" if one.raw is None else f"{one.raw:.4f}"
            recovered = "—" if one.recovered is None else f"{one.recovered:.0%}"
            values = (f"{one.old:.4f}", raw, f"{one.aligned:.4f}", f"{one.native:.4f}")
            scores.add_row(one.task, one.head, *values, recovered)
        show(scores)
        if any(one.raw is None for one in aligned.scores):
            say(
                f"Models of {aligned.to} cannot read {aligned.of} as it is: it has another number "
                "of columns"
            )
    if lost := [block.block for block in aligned.blocks if block.method == "filled"]:
        say(
            f"Not compatible: {', '.join(lost)}. Models of {aligned.to} get the mean of all "
            "clients there"
        )


_MAPS = {
    "kept": "computed as before",
    "rotation": "rotation of the block",
    "ridge": "ridge map of the profile",
    "filled": "none: the mean",
}


def show_encoded(encoded: "Encoded") -> None:
    """Show where a cutoff's profiles are, and what has changed with a new revision."""
    say(f"profile {encoded.version.name}: {encoded.path}", wrap=False)
    if revised := encoded.revised:
        more = revised.events or 0
        events = f"{more:,} more events, " if more > 0 else f"{-more:,} fewer events, " * (more < 0)
        say(
            f"A new revision: {events}{client_count(revised.clients)} changed. The one before is "
            "kept"
        )


def show_refreshed(done: "Refreshed") -> None:
    """Show how many profiles are new."""
    name = f"profile {done.version.name}, as of {when(done.cutoff)}"
    if done.whole:
        say(f"{name}: all of {client_count(done.clients)}, because {done.why}")
    else:
        say(f"{name}: {client_count(done.clients)} encoded, {done.others:,} keep their profile")


def show_audit(found: "Audit") -> None:
    """Show what an audit compared, and what differs."""
    say(
        f"Profile {found.version}: {client_count(found.clients)} looked up, "
        f"{found.computed:,} computed again, {len(found.differences):,} differ"
    )
    if found.knows_until and found.last_event:
        hours = (found.last_event - found.knows_until).total_seconds() / 3600
        behind = f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
        say(
            f"The profiles know events until {when(found.knows_until)}; the log ends at "
            f"{when(found.last_event)}, {behind} later"
        )
    for reason in found.skipped:
        say(f"Not computed again: {reason}")
    if found.differences:
        table = plain_table(
            "Differences",
            ["client", "cutoff", "what", "numbers"],
            numbers=("numbers",),
        )
        for one in found.differences[:_SHOWN]:
            table.add_row(
                escape(str(one.client_id)), when(one.cutoff), one.what, f"{one.numbers:,}"
            )
        show(table)
        if (more := len(found.differences) - _SHOWN) > 0:
            say(f"and {more:,} more")


def blocks_table(described: list[dict[str, Any]]) -> Table:
    """Render what :func:`pipelines.blocks.blocks` found."""
    table = plain_table(
        "Blocks, in the order of the profile",
        ["block", "paper", "reads", "width", "v", "loss", "seconds"],
        numbers=("loss", "seconds"),
    )
    for block in described:
        width = "" if block["width"] is None else str(block["width"])
        if width and block["components"]:
            width += f"→{min(block['components'], block['width'])}"
        loss = "" if block["loss"] is None else f"{block['loss']:.3f}"
        seconds = "" if block["seconds"] is None else f"{block['seconds']:.0f}"
        row = [block["name"], block["section"], reads(block["needs"]), width]
        table.add_row(*row, block["version"] or "—", loss, seconds)
    return table


def explanation_tables(found: "Explanation", rows: int) -> RenderableType:
    """Render what :func:`pipelines.explain.explain` returns, with the newest ``rows`` events."""
    fields = list(found.true)
    true, decoded, same = (
        list(zip(*(words[field] for field in fields), strict=True))
        for words in (found.true, found.decoded, found.same)
    )
    title = (
        f"[bold]Client {found.client_id} before {when(found.cutoff)}, decoded from {found.block} "
        f"{found.version}[/bold]: the newest of the {len(true):,} steps that it reads"
    )
    numeric = [field for field in fields if field != "event_type"]
    events = plain_table("", ["#", "", *fields], numbers=["#", *numeric])
    nothing = ("",) * len(fields)
    longest = max(len(true), len(decoded))
    for step in range(max(0, longest - rows), longest):
        real = true[step] if step < len(true) else nothing
        ours = decoded[step] if step < len(decoded) else nothing
        hits = same[step] if step < len(same) else (False,) * len(fields)
        pairs = zip(ours, hits, strict=True)
        marked = [f"[green]{escape(b)}" if hit else f"[red]{escape(b)}" for b, hit in pairs]
        events.add_row(str(step + 1), "true", *map(escape, real))
        events.add_row("", "decoded", *marked, end_section=True)
    recalls = plain_table("How much came back", ["field", "values", ""], numbers=["values"])
    for recall in found.recalls:
        if recall.values or recall.rare:
            recalls.add_row(recall.field, f"{recall.values:,}", recall.verdict)
    legend = (
        "Only the vector was decoded, from the oldest event on. Green is what came back; 'rare' is "
        "a value outside of the block's vocabulary, and values count those inside. Guessing is the "
        "shop's most frequent value every time. Days and weeks count back from the cutoff."
    )
    return Group(title, events, recalls, legend)


def made_of(
    unknown: int, fitted: list[str], reused: list[str], left_out: dict[str, str]
) -> list[str]:
    """Describe the profile of a split.

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


def show_served(served: "Served") -> None:
    """Show which profile version is served."""
    say(
        f"Serving profile {served.version} of {client_count(served.clients)}, as of "
        f"{when(served.cutoff)}{in_store(served.online_store)}"
    )
    if others := [name for name in served.online if name != served.version]:
        say(f"Also online, to be read by name: {', '.join(others)}")


def show_exported(found: "Exported") -> None:
    """List the exported files, and the command that scores them."""
    numbers = ("rows", "columns")
    table = plain_table("Exported", ["file", *numbers], numbers=numbers)
    for file in found.files:
        table.add_row(file.name, f"{file.rows:,}", f"{file.columns:,}")
    show(table)
    tested, fits = found.tested, found.tested.fits
    lines = [f"Input before {tested.split.cutoff:%Y-%m-%d}; {len(tested.clients):,} clients"]
    lines += made_of(
        tested.unknown,
        [fit.name for fit in fits.fitted],
        [fit.name for fit in fits.reused],
        fits.unavailable | found.unavailable_tasks,
    )
    for line in lines:
        say(line)
    say_next(found.next)
