"""What ``ubp evaluate`` found, as tables for people."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.tables import made_of, plain_table
from ubp_platform.evaluation.record import Evaluation
from ubp_platform.evaluation.scores import Scores

#: Headings; with them a table of all tasks fits 80 columns.
SHORT = {
    "churn": "churn",
    "conversion": "conv",
    "propensity_category": "cat",
    "propensity_sku": "sku",
    "propensity_price": "price",
    "propensity_new_sku": "new",
}


def show_evaluation(console: Console, found: Evaluation) -> None:
    """Say what was scored on what, and how well."""
    lines = [
        f"Input before {found.cutoff:%Y-%m-%d}; networks are fitted on what happened from then to "
        f"{found.validation_start:%Y-%m-%d}, and judged on what happened from there to "
        f"{found.end:%Y-%m-%d %H:%M}; {found.clients:,} clients"
    ]
    lines += made_of(
        found.unknown,
        [block.name for block in found.blocks if block.fitted],
        [block.name for block in found.blocks if not block.fitted],
        found.unavailable_blocks | found.unavailable_tasks,
    )
    if found.preset is None and found.profile:
        width = sum(block.width for block in found.blocks)
        lines.append(f"Beside them the profile evaluated last, {found.profile}, {width} numbers")
    _print(console, lines)
    scores = found.scores
    console.print(_scores_table(scores))
    if scores.of_kind("without"):
        console.print(_ablation_table(scores))
    _print(console, _notes(scores))


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _notes(scores: Scores) -> list[str]:
    seeds = len(scores.seeds)
    noise = "± is the deviation over seeds" if seeds > 1 else "--seeds 3 tells what is noise"
    notes = [f"Network {scores.network}, {seeds} seed{'s' * (seeds > 1)}; {noise}"]
    if scores.reused:
        notes[0] += f"; {scores.reused:,} of {len(scores.results):,} scores were there before"
    for info in scores.tasks:
        if info.name == "churn":
            notes.append(f"churn is asked of the {info.clients:,} clients who had bought before")
    unanswerable = [
        f"{SHORT[info.name]} {info.unanswerable} of {info.classes}"
        for info in scores.tasks
        if info.unanswerable
    ]
    if unanswerable:
        notes.append(
            f"Classes that nobody bought in the last window: {', '.join(unanswerable)}. Their "
            "AUROC counts 0 for every row, as in the challenge: compare rows, not columns"
        )
    return notes


def _scores_table(scores: Scores) -> Table:
    ranked, best = scores.ranked(), scores.best()
    several = len(scores.seeds) > 1
    numbers = [*(SHORT[task] for task in best if task), "sum", *["±"] * several, "Borda"]
    table = plain_table("Scores", "", *numbers, numbers=numbers)
    points = scores.borda([info.name for info in ranked])
    for info in ranked:
        cells = []
        for task, top in best.items():
            mean = scores.score(info.name, task).mean
            cells.append(f"[bold green]{_short(mean)}" if mean == top else _short(mean))
        noise = [_short(scores.score(info.name).deviation)] * several
        table.add_row(escape(info.name), *cells, *noise, str(points[info.name]))
    return table


def _ablation_table(scores: Scores) -> Table:
    """What the profile loses without each block, most first."""
    columns = [*(info.name for info in scores.tasks), None]
    several = len(scores.seeds) > 1
    numbers = [*(SHORT[task] for task in columns if task), "sum", *["±"] * several]
    table = plain_table("What the profile loses without it", "", *numbers, numbers=numbers)
    rows = [
        (info.name, [scores.gain("profile", info.name, task) for task in columns])
        for info in scores.of_kind("without")
    ]
    for name, lost in sorted(rows, key=lambda row: -row[1][-1].mean):
        cells = [_short(average.mean, signed=True) for average in lost]
        noise = [_short(lost[-1].deviation)] * several
        table.add_row(name.removeprefix("without "), *cells, *noise)
    return table


def _short(number: float, signed: bool = False) -> str:
    """Write a score with three decimals and no leading zero.

    Examples
    --------
    >>> _short(0.8312), _short(2.5), _short(-0.004, signed=True)
    ('.831', '2.500', '-.004')
    """
    text = f"{number:+.3f}" if signed else f"{number:.3f}"
    return text.replace("0.", ".", 1) if abs(number) < 1 else text
