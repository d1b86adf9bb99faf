"""The page about an evaluation: one self-contained HTML file."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from ubp_platform.blocks.registry import block_names
from ubp_platform.evaluation import network
from ubp_platform.evaluation.heads import boosting, logistic
from ubp_platform.evaluation.record import Evaluation
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.tasks import TASKS
from ubp_platform.report.curve_pictures import curve_lines, curve_pictures
from ubp_platform.report.data_pictures import Cloud, data_pictures, map_pictures, training_pictures
from ubp_platform.report.headline import display_name, headline
from ubp_platform.report.label_pictures import label_pictures
from ubp_platform.report.looks import LOOKS, TYPE_COLOURS
from ubp_platform.report.score_pictures import ablation_pictures, task_pictures, width_picture
from ubp_platform.report.svg import Picture
from ubp_platform.report.templates import environment
from ubp_platform.times import WINDOW_DAYS
from ubp_platform.warehouse.shape import Shape

#: The question of each task, about one window. churn and conversion have the same label, which is
#: positive where a client buys nothing.
QUESTIONS = {
    "churn": "Will a client who bought before buy nothing? (positive: nothing)",
    "conversion": "Will a client, new or not, buy anything? (positive: nothing, as for churn)",
    "propensity_category": "From which categories will a client buy?",
    "propensity_sku": "Which products will a client buy?",
    "propensity_price": "At which prices will a client buy?",
    "propensity_new_sku": "Which products that are new after the input will a client buy?",
}
_TITLES = {
    "scores": "Scores",
    "differences": "Significance",
    "parts": "AUROC, novelty, diversity",
    "heads": "Scores by head",
    "labels": "Fewer labels",
    "tasks": "Scores by task",
    "ablation": "What each block adds",
    "curves": "ROC and calibration",
    "width": "Score against width",
    "map": "Map of clients",
    "training": "Training",
    "data": "The data",
    "made": "Method",
}


def render(record: Evaluation, shape: Shape, cloud: Cloud | None) -> str:
    """Render the page about an evaluation; equal input gives equal text.

    Parameters
    ----------
    record : Evaluation
    shape : Shape
        Statistics of the log.
    cloud : Cloud, optional
        Clients to draw as a map.

    Returns
    -------
    str
        HTML.
    """
    scores = record.scores
    propensities = [task for task in scores.tasks if task.classes > 1]
    pictures = _pictures(record, shape, cloud)
    # A section without content is left out.
    contents: dict[str, Sequence[object]] = {
        "differences": scores.ranked()[1:],
        "parts": propensities,
        "heads": scores.heads[1:],
        **pictures,
    }
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            record=record,
            scores=scores,
            shape=shape,
            cloud=cloud,
            pictures=pictures,
            titles={key: title for key, title in _TITLES.items() if contents.get(key, True)},
            headline=headline(scores),
            subject=scores.subject,
            subject_name=display_name(scores.subject),
            propensities=propensities,
            average=_average,
            budgets=[*scores.budgets, None],
            budgeted=scores.budgeted(),
            without=scores.of_kind("without"),
            ranked=scores.ranked(),
            best=scores.best(),
            borda=scores.borda([info.name for info in scores.ranked()]),
            lines=curve_lines(scores.ranked()).values(),
            looks=LOOKS,
            type_colours=TYPE_COLOURS,
            questions=QUESTIONS,
            days=WINDOW_DAYS,
            left_out=_left_out(record),
            network=network,
            boosting=boosting,
            logistic=logistic,
        )
    )


def _pictures(
    record: Evaluation, shape: Shape, cloud: Cloud | None
) -> dict[str, Sequence[Picture]]:
    scores, ranked = record.scores, record.scores.ranked()
    return {
        "labels": label_pictures(scores),
        "tasks": task_pictures(scores, ranked),
        "ablation": ablation_pictures(scores),
        "curves": curve_pictures(scores, curve_lines(ranked)),
        "width": [width_picture(scores, ranked)],
        "map": list(map_pictures(cloud)) if cloud else [],
        "training": training_pictures(record.blocks),
        "data": data_pictures(shape, record),
    }


def _average(scores: Scores, metric: Literal["novelty", "diversity"], name: str) -> float:
    """Average a metric over the propensity tasks."""
    return fmean(
        scores.metric(metric, name, task.name).mean for task in scores.tasks if task.classes > 1
    )


def _left_out(record: Evaluation) -> dict[str, list[str]]:
    """Return the blocks and tasks without a score, by reason."""
    known = record.unavailable_blocks | record.unavailable_tasks
    scored = {block.name for block in record.blocks} | {task.name for task in record.scores.tasks}
    reasons: dict[str, list[str]] = {}
    for name in (*(block_names() if record.blocks else ()), *TASKS):
        if name not in scored:
            reasons.setdefault(known.get(name, "not requested"), []).append(name)
    return reasons
