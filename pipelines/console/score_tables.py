"""The scores of ``ubp evaluate`` as tables."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from rich.markup import escape
from rich.table import Table

from pipelines.console.output import say, show
from pipelines.console.profiles import made_of
from pipelines.console.tables import plain_table
from ubp_platform.evaluation.record import Evaluation
from ubp_platform.evaluation.scores import Scores

#: Headings short enough for a table of all tasks to fit 80 columns.
SHORT = {
    "churn": "churn",
    "conversion": "conv",
    "propensity_category": "cat",
    "propensity_sku": "sku",
    "propensity_price": "price",
    "propensity_new_sku": "new",
}


def show_evaluation(found: Evaluation) -> None:
    """Show what was scored, on which data, and the scores."""
    known = ", as delivered by then" if found.as_delivered else ""
    lines = [
        f"Input before {found.cutoff:%Y-%m-%d}{known}; heads are fitted on what happened from "
        f"then to {found.validation_start:%Y-%m-%d}, and scored on what happened from then to "
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
    for line in lines:
        say(line)
    scores = found.scores
    for table in _tables(scores):
        show(table)
    for line in _notes(scores):
        say(line)


def _tables(scores: Scores) -> Iterator[Table]:
    yield _scores_table(scores)
    if len(scores.ranked()) > 1:
        yield _differences_table(scores)
    if any(task.classes > 1 for task in scores.tasks):
        yield _auroc_table(scores)
    if len(scores.heads) > 1:
        yield _heads_table(scores)
    if scores.budgets:
        yield _budgets_table(scores)
    if scores.of_kind("without"):
        yield _ablation_table(scores)


def _notes(scores: Scores) -> list[str]:
    seeds, blocks = len(scores.seeds), len(scores.block_seeds)
    noise = "± is the deviation over seeds" if seeds > 1 else "--seeds 3 shows the noise"
    several = f" × {blocks} block seeds" if blocks > 1 else ""
    protocol = f"Protocol {scores.protocol}; network {scores.network}"
    notes = [f"{protocol}; {seeds} seed{'s' * (seeds > 1)}{several}; {noise}"]
    if blocks > 1:
        notes.append("± blocks is the deviation over block seeds")
    if scores.reused:
        notes[0] += f"; {scores.reused:,} of {len(scores.results):,} scores are reused"
    if scores.protocol == "holdout":
        notes.append(
            "Each row by the head that is best on held-out clients of the train window; intervals "
            "by a paired bootstrap over clients"
        )
    for info in scores.tasks:
        if info.name == "churn":
            notes.append(f"churn: only the {info.clients:,} clients who bought before")
    unanswerable = [
        f"{SHORT[info.name]} {info.unanswerable} of {info.classes}"
        for info in scores.tasks
        if info.unanswerable
    ]
    if unanswerable:
        effect = (
            "Their AUROC counts as 0 for every row, as in the challenge: compare rows, not columns"
            if scores.protocol == "challenge"
            else "They are left out"
        )
        notes.append(
            f"Classes that nobody bought in the last window: {', '.join(unanswerable)}. {effect}"
        )
    return notes


def _table(title: str, numbers: Sequence[str], rows: Iterable[tuple[str, Iterable[str]]]) -> Table:
    table = plain_table(title, ["", *numbers], numbers=numbers)
    for name, cells in rows:
        table.add_row(escape(name), *cells)
    return table


def _scores_table(scores: Scores) -> Table:
    ranked, best = scores.ranked(), scores.best()
    deviations = ["±"] * (len(scores.seeds) > 1) + ["± blocks"] * (len(scores.block_seeds) > 1)
    numbers = [*(SHORT[task] for task in best if task), "sum", *deviations, "Borda"]
    points, rows = scores.borda([info.name for info in ranked]), []
    for info in ranked:
        cells = []
        for task, top in best.items():
            mean = scores.score(info.name, task).mean
            cells.append(f"[bold green]{_short(mean)}" if mean == top else _short(mean))
        total = scores.score(info.name)
        noise = {"±": total.deviation, "± blocks": total.between}
        cells += [_short(noise[name]) for name in deviations]
        rows.append((info.name, [*cells, str(points[info.name])]))
    return _table("Scores", numbers, rows)


def _differences_table(scores: Scores) -> Table:
    """The evaluated row's lead over each other row in the sum, and the share of draws ahead."""
    subject, rows = scores.subject.name, []
    for info in scores.ranked():
        if info.name != subject:
            gain = scores.gain(subject, info.name)
            cells = [_short(value, signed=True) for value in gain[:3]]
            rows.append((info.name, [*cells, f"{gain.ahead:.0%}"]))
    title = f"{escape(subject)} less the others, 95% intervals"
    return _table(title, ["difference", "from", "to", "ahead"], rows)


def _auroc_table(scores: Scores) -> Table:
    """The parts of the propensity scores."""
    tasks, rows = [info for info in scores.tasks if info.classes > 1], []
    for info in scores.ranked():
        cells = [scores.metric("auroc", info.name, task.name).mean for task in tasks]
        for name in ("novelty", "diversity"):
            cells.append(fmean(scores.metric(name, info.name, t.name).mean for t in tasks))
        rows.append((info.name, map(_short, cells)))
    numbers = [*(SHORT[info.name] for info in tasks), "novelty", "diversity"]
    return _table("AUROC, and mean novelty and diversity", numbers, rows)


def _heads_table(scores: Scores) -> Table:
    """The sum per head, and the number of tasks that it was chosen for."""
    rows = []
    for info in scores.ranked():
        fitted = scores.heads_of(info.name)
        chosen = Counter(scores.chosen(info.name, task.name) for task in scores.tasks)
        sums = {head: scores.score(info.name, head=head).mean for head in fitted}
        cells = [f"{_short(sums[h])} ({chosen[h]})" if h in sums else "" for h in scores.heads]
        rows.append((info.name, cells))
    return _table("Sum by head (tasks it was chosen for)", scores.heads, rows)


def _budgets_table(scores: Scores) -> Table:
    """The sum with fewer labelled clients."""
    budgets = [*scores.budgets, None]
    rows = [
        (info.name, [_short(scores.score(info.name, labels=labels).mean) for labels in budgets])
        for info in scores.budgeted()
    ]
    numbers = [f"{labels:,}" if labels else "all" for labels in budgets]
    return _table("Sum by labelled clients", numbers, rows)


def _ablation_table(scores: Scores) -> Table:
    """What the profile loses without each block, the largest loss first."""
    columns = [*(info.name for info in scores.tasks), None]
    losses = {
        info.name.removeprefix("without "): [scores.lost(info.name, task) for task in columns]
        for info in scores.of_kind("without")
    }
    rows = []
    for name, lost in sorted(losses.items(), key=lambda row: -row[1][-1].mean):
        values = [*(one.mean for one in lost), lost[-1].low, lost[-1].high]
        rows.append((name, [_short(value, signed=True) for value in values]))
    numbers = [*(SHORT[task] for task in columns if task), "sum", "from", "to"]
    return _table("What the profile loses without it", numbers, rows)


def _short(number: float, signed: bool = False) -> str:
    """Format a score with three decimals and no leading zero.

    Examples
    --------
    >>> _short(0.8312), _short(2.5), _short(-0.004, signed=True)
    ('.831', '2.500', '-.004')
    """
    text = f"{number:+.3f}" if signed else f"{number:.3f}"
    return text.replace("0.", ".", 1) if abs(number) < 1 else text
