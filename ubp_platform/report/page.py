"""The page about an evaluation: one HTML file that needs nothing beside it."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from ubp_platform.blocks.registry import block_names
from ubp_platform.evaluation import network
from ubp_platform.evaluation.heads import boosting, logistic
from ubp_platform.evaluation.record import Evaluation
from ubp_platform.evaluation.scores import Average, RepresentationInfo, Scores
from ubp_platform.evaluation.tasks import TASKS
from ubp_platform.report import score_pictures as draw
from ubp_platform.report.label_pictures import label_pictures
from ubp_platform.report.score_pictures import LOOKS, TYPE_COLOURS, Cloud, signed
from ubp_platform.report.svg import Picture
from ubp_platform.warehouse.shape import Shape

#: What each task asks, of the two weeks after the input.
QUESTIONS = {
    "churn": "Of those who have bought before: who buys nothing?",
    "conversion": "Of all: who buys nothing?",
    "propensity_category": "Who buys something of which category?",
    "propensity_sku": "Who buys which product?",
    "propensity_price": "Who buys something of which price?",
    "propensity_new_sku": "Who buys which product that was new after the input?",
}
_TITLES = {
    "scores": "Scores",
    "differences": "How sure it is",
    "parts": "AUROC, novelty, diversity",
    "heads": "Head by head",
    "labels": "Fewer labels",
    "tasks": "Task by task",
    "ablation": "What each block adds",
    "curves": "ROC and calibration",
    "width": "Score against width",
    "map": "Map of clients",
    "training": "Training",
    "data": "The data",
    "made": "How it was made",
}


def render(found: Evaluation, shape: Shape, cloud: Cloud | None) -> str:
    """Write the page about an evaluation; the same input gives the same text.

    Parameters
    ----------
    found : Evaluation
    shape : Shape
        Of the log.
    cloud : Cloud, optional
        Clients to be drawn as a map.

    Returns
    -------
    str
        HTML.
    """
    scores = found.scores
    ranked = scores.ranked()
    lines = draw.curve_lines(ranked)
    propensities = [task for task in scores.tasks if task.classes > 1]
    # Sections that may be empty.
    there: dict[str, Sequence[object]] = {
        "differences": ranked[1:],
        "parts": propensities,
        "heads": scores.heads[1:],
    }
    pictures: dict[str, Sequence[Picture]] = {
        "labels": label_pictures(scores),
        "tasks": draw.task_pictures(scores, ranked),
        "ablation": draw.ablation_pictures(scores),
        "curves": draw.curve_pictures(scores, lines),
        "width": [draw.width_picture(scores, ranked)],
        "map": list(draw.map_pictures(cloud)) if cloud else [],
        "training": draw.training_pictures(found.blocks),
        "data": draw.data_pictures(shape, found),
    }
    template = _environment().get_template("page.html.j2")
    return template.render(
        found=found,
        scores=scores,
        shape=shape,
        cloud=cloud,
        pictures=pictures,
        titles={key: title for key, title in _TITLES.items() if (there | pictures).get(key, True)},
        headline=headline(scores),
        subject=scores.subject,
        called=_called(scores.subject),
        propensities=propensities,
        average=_average,
        budgets=[*scores.budgets, None],
        budgeted=scores.budgeted(),
        without=scores.of_kind("without"),
        ranked=ranked,
        best=scores.best(),
        borda=scores.borda([info.name for info in ranked]),
        lines=lines.values(),
        looks=LOOKS,
        type_colours=TYPE_COLOURS,
        questions=QUESTIONS,
        left_out=_left_out(found),
        network=network,
        boosting=boosting,
        logistic=logistic,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ubp_platform.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    environment.filters["score"] = "{:.3f}".format
    environment.filters["whole"] = "{:,}".format
    environment.filters["day"] = "{:%Y-%m-%d}".format
    environment.filters["minute"] = "{:%Y-%m-%d %H:%M}".format
    return environment


def _average(scores: Scores, metric: Literal["novelty", "diversity"], name: str) -> float:
    """Average a metric over the propensities."""
    return fmean(
        scores.metric(metric, name, task.name).mean for task in scores.tasks if task.classes > 1
    )


def headline(scores: Scores) -> dict[str, str]:
    """Say in words how the evaluation ended.

    Returns
    -------
    dict
        ``verdict`` against the next of all others, and ``details``: the score, and how far it is
        from the best of each other kind. A difference whose interval includes 0 is none; and with
        one seed nobody is called best.
    """
    subject, ranked = scores.subject, scores.ranked()
    # The profile's own first numbers are no rival.
    others = [info for info in ranked if info.name != subject.name and info.kind != "compact"]
    total, count = scores.score(subject.name), len(scores.tasks)
    over = "on one task" if count == 1 else f"in the sum of {count} tasks"
    scored = f"It scores {total.mean:.3f}{_noise(scores, total)} {over}"
    if not others:
        return {"verdict": f"{_capital(_called(subject))} stands alone.", "details": f"{scored}."}
    kinds = {"profile": "the profile", "block": "the best block", "baseline": "the best baseline"}
    told = []
    for kind, what in kinds.items():
        best = next((info for info in others if info.kind == kind), None)
        if best:
            told.append(_against(scores, subject.name, best.name, what))
    return {
        "verdict": _capital(_verdict(scores, subject, others[0])),
        "details": f"{scored}: {', and '.join(told)}.",
    }


def _verdict(scores: Scores, subject: RepresentationInfo, rival: RepresentationInfo) -> str:
    name, other = _called(subject), _called(rival)
    several = len(scores.seeds) > 1
    sign = scores.gain(subject.name, rival.name).sign
    if sign > 0:
        return f"{name} is best." if several else f"{name} is ahead of {other}."
    if sign < 0:
        best = "best here" if several else "ahead"
        return f"{name} is not {best}: {other} is."
    return f"{name} is level with {other}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _called(info: RepresentationInfo) -> str:
    return "the profile" if info.kind == "profile" else f"“{info.name}”"


def _against(scores: Scores, one: str, other: str, what: str) -> str:
    gain = scores.gain(one, other)
    told = what if what.endswith(other) else f"{what}, “{other}”"
    interval = f"95%: {signed(gain.low)} to {signed(gain.high)}".replace(" ", "\xa0")
    if gain.sign == 0:
        return f"level with {told} ({signed(gain.mean)}; {interval})"
    where = "ahead of" if gain.sign > 0 else "behind"
    return f"{abs(gain.mean):.3f} {where} {told} ({interval})"


def _noise(scores: Scores, average: Average) -> str:
    """Write a deviation, if there is one, on the line of what it belongs to."""
    return f" ± {average.deviation:.3f}".replace(" ", "\xa0") if len(scores.seeds) > 1 else ""


def _left_out(found: Evaluation) -> dict[str, list[str]]:
    """Give the blocks and tasks that have no score, by the reason."""
    known = found.unavailable_blocks | found.unavailable_tasks
    there = {block.name for block in found.blocks} | {task.name for task in found.scores.tasks}
    reasons: dict[str, list[str]] = {}
    for name in (*(block_names() if found.blocks else ()), *TASKS):
        if name not in there:
            reasons.setdefault(known.get(name, "not asked for"), []).append(name)
    return reasons
