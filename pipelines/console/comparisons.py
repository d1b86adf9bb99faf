"""Comparisons of profiles, as tables for people."""

from collections.abc import Sequence

from rich.table import Table

from pipelines.console.output import say, show
from pipelines.console.tables import plain_table, when
from ubp_platform.drift.comparison import BlockDrift, Comparison
from ubp_platform.drift.limits import LEAST, Limits

_MEASURES = ("shift", "psi", "columns", "auroc", "cosine", "overlap", "absent")
# Names of columns that are listed.
_NAMED = 3


def show_comparison(found: Comparison) -> None:
    """Show how two sides differ, and which limits that crosses."""
    show(comparison_table(found))
    everybody = found.common + found.new + found.gone
    say(
        f"{found.sampled:,} of {everybody:,} clients sampled (seed {found.seed}); {found.new:,} "
        f"new, {found.gone:,} gone"
    )
    for block in found.blocks:
        if block.moved:
            names = ", ".join(block.moved[:_NAMED])
            more = f" and {len(block.moved) - _NAMED} more" * (len(block.moved) > _NAMED)
            say(f"{block.block}: columns that moved: {names}{more}")
    if found.others:
        say(f"Only one of them has {', '.join(found.others)}")
    if found.elsewhere:
        say(f"In another space: {', '.join(found.elsewhere)}. {cure(found)}")
    say(verdict(found))


def show_unhealthy(found: Comparison) -> None:
    """Show why a version was not published."""
    show_comparison(found)
    if found.a.cutoff == found.b.cutoff:
        say("Both are of the same cutoff: what differs is the model or its map, not the data")
    say(f"Nothing was published: readers go on with {found.a.version} at {when(found.a.cutoff)}")


def show_healthy(compared: Sequence[Comparison]) -> None:
    """Say with what was compared that is published now."""
    for found in compared[:1]:
        say(f"{verdict(found)}, compared with {found.a.version} at {when(found.a.cutoff)}")
    if not compared:
        say("Nothing to compare: nothing was served before, or nothing has changed")


def comparison_table(found: Comparison) -> Table:
    """Lay out the measures, a block a line; what crosses a limit is red and has a `!`."""
    names = [f"{side.version} at {when(side.cutoff)}" for side in (found.a, found.b)]
    table = plain_table(f"{names[0]} → {names[1]}", ["block", *_MEASURES], numbers=_MEASURES)
    for block in found.blocks:
        cells = [_cell(block, name, found.limits) for name in _MEASURES]
        table.add_row(block.block, *cells)
    table.add_row("[dim]limit", *(_limit(found.limits, name) for name in _MEASURES))
    return table


def _limit(limits: Limits, measure: str) -> str:
    return f"[dim]{'≥' if measure in LEAST else '≤'} {getattr(limits, measure):g}"


def _cell(block: BlockDrift, measure: str, limits: Limits) -> str:
    value = block.measured[measure]
    if value is None:
        return "" if block.same_space else "[dim]—"
    text = f"{value:.3f}"
    return f"[red]{text}![/red]" if limits.used(measure, value) > 1 else text


def verdict(found: Comparison) -> str:
    """Say in one line whether the profiles are healthy."""
    if not found.crossed:
        what = " that can be compared between two spaces" * bool(found.elsewhere)
        return f"Healthy: no limit{what} is crossed"
    return "Not healthy: " + "; ".join(one.sentence for one in found.crossed)


def cure(found: Comparison) -> str:
    """Say how blocks come into one space."""
    new, old = found.b.version, found.a.version
    if "@" in new or "@" in old:
        return "Compare versions of one space"
    return f"`ubp align {new} --to {old}` makes {new}@{old}, which can be compared with {old}"
