"""The page about an evaluation: complete, correct, readable on a screen and on a phone."""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipelines import evaluate as pipeline
from pipelines.ingest import ingest
from pipelines.report import write_report
from tests.evaluation.browser import measure
from tests.evaluation.evaluated import thin_networks
from tests.evaluation.made_up import result, scores_of
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver_shop
from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.scores import Scores
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home
from ubp_platform.report.drawing import draw_map
from ubp_platform.report.headline import headline
from ubp_platform.report.page import QUESTIONS
from ubp_platform.report.svg import label_points, picture, signed
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.shape import shape

BLOCKS = ("ials_categories", "handcrafted")
# A file name must not affect the page.
EVIL = "<b>bold</b> & $x^2$"
SECTIONS = [
    *("Scores", "Significance", "AUROC, novelty, diversity", "Scores by head", "Fewer labels"),
    *("Scores by task", "What each block adds", "ROC and calibration"),
    *("Score against width", "Map of clients", "Training", "The data", "Method"),
]


@dataclass(frozen=True)
class Reported:
    """An evaluation with its page and the input of the page."""

    home: Home
    made_of: tuple[Any, ...]
    page: str


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Reported]]:
    """Evaluations of a profile, and of foreign embeddings of width 1."""
    root = tmp_path_factory.mktemp("report")
    delivery = deliver_shop(root / EVIL.replace("/", ""), clients=300, events=600)
    home, other = (Home(home=root / name) for name in ("home", "other"))
    ingest(home, str(delivery))
    shutil.copytree(home.root, other.root)
    listed = root / "<i>clients.npy"
    np.save(listed, np.arange(1, 301))
    foreign = root / EVIL.replace("/", "")
    np.save(foreign / "client_ids.npy", np.arange(1, 301))
    np.save(foreign / "embeddings.npy", np.arange(300, dtype=np.float16)[:, None])
    calls: list[tuple[Any, ...]] = []

    def recorded(*arguments: Any) -> Path:
        calls.append(arguments)
        return write_report(*arguments)

    with thin_networks():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "write_report", recorded)
            heads = ["network", "logistic"]
            tasks = ["churn", "propensity_category", "propensity_price"]
            repeated = {"seeds": 2, "block_seeds": 2}
            pipeline.evaluate(home, BLOCKS, tasks=tasks, clients=listed, heads=heads, **repeated)
            pipeline.evaluate(other, tasks=tasks[::2], embeddings=foreign, clients=listed)
        yield {
            name: Reported(Home(home=call[0].root), call, call[0].report.read_text())
            for name, call in zip(("profile", "foreign"), calls, strict=True)
        }


def headings(page: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page)


@pytest.mark.parametrize("which", ["profile", "foreign"])
def test_the_page_loads_nothing_and_runs_nothing(
    evaluated: dict[str, Reported], which: str
) -> None:
    page = evaluated[which].page
    assert not re.findall(r'(?:src|href)="(?!#|data:image/png)[^"]*', page)
    assert not re.findall(r"url\((?!#)[^)]*", page)
    assert not re.findall(r"https?:|@import|<script|<link|<iframe|<object|javascript:", page)
    assert not re.findall(r"\son\w+=", page)
    assert len(page) < 3_000_000


@pytest.mark.parametrize("which", ["profile", "foreign"])
def test_all_that_was_scored_and_all_that_was_left_out_is_named(
    evaluated: dict[str, Reported], which: str
) -> None:
    reported = evaluated[which]
    found, page = reported.made_of[1], reported.page
    for info in found.scores.representations:
        assert escape(info.name.removeprefix("without ")) in page
    for task in found.scores.tasks:
        assert f">{task.name}</th>" in page
    for name, version in found.versions.items():
        assert f">{name}</th><td>{version}<" in page
    for block in found.blocks:
        assert all(f">{name}</th>" in page for name in block.params)
    for info in found.scores.of_kind("profile", "block", "baseline", "foreign"):
        assert f"{found.scores.score(info.name).mean:.3f}" in page
    for info in found.scores.budgeted():
        assert f"{found.scores.score(info.name, labels=100).mean:.3f}" in page
        assert f"{found.scores.score(info.name, head='network').mean:.3f}" in page
        assert f"{found.scores.metric('auroc', info.name, 'propensity_price').mean:.3f}" in page
    for info in found.scores.ranked()[1:]:
        low = found.scores.gain(found.scores.subject.name, info.name).low
        assert info.name == found.scores.subject.name or f"{signed(low)} to" in page
    for name in {"lightfm", "next_url"} if found.blocks else {"propensity_sku"}:
        assert re.search(rf"<li>.*{name}.*: not requested</li>", page)


def test_names_of_files_are_text(evaluated: dict[str, Reported]) -> None:
    for reported in evaluated.values():
        assert "<b>" not in reported.page
        assert "&lt;b&gt;bold" in reported.page
    assert "&lt;i&gt;clients.npy" in evaluated["profile"].page


@pytest.mark.parametrize("which", ["profile", "foreign"])
def test_the_same_evaluation_gives_the_same_bytes(
    evaluated: dict[str, Reported], which: str
) -> None:
    reported = evaluated[which]
    path = write_report(reported.home, *reported.made_of[1:])
    assert path == reported.home.report
    assert path.read_text() == reported.page
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]


def test_sections_without_content_are_left_out(evaluated: dict[str, Reported]) -> None:
    assert headings(evaluated["profile"].page) == SECTIONS
    # There is no map of a single column.
    without = {"What each block adds", "Map of clients", "Training"}
    assert headings(evaluated["foreign"].page) == [s for s in SECTIONS if s not in without]
    for reported in evaluated.values():
        linked = re.findall('<a href="#(.*?)">', reported.page)
        assert linked == re.findall('<section id="(.*?)">', reported.page)


def test_the_command_says_where_the_page_is(
    evaluated: dict[str, Reported], capsys: pytest.CaptureFixture[str]
) -> None:
    home = evaluated["foreign"].home.root
    embeddings = home.parent / EVIL.replace("/", "")
    outcome = run_ubp(
        *(capsys, "evaluate", "--home", home, "--tasks", "churn"),
        *("--embeddings", embeddings, "--clients", embeddings / "client_ids.npy"),
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == f"Report: {home / 'report' / 'index.html'}"


@pytest.mark.browser
@pytest.mark.parametrize("which", ["profile", "foreign"])
def test_a_browser_shows_all_of_it_on_a_screen_and_on_a_phone(
    evaluated: dict[str, Reported], which: str, tmp_path: Path
) -> None:
    page = evaluated[which].page
    screen, phone = measure(page, (1280, 390), tmp_path)
    assert (screen["width"], phone["width"]) == (1280, 390)
    for seen in (screen, phone):
        assert seen["needed"] == seen["width"]
        assert seen["headings"] == headings(page)
        assert seen["pictures"] == page.count("<svg ")
        assert seen["texts"] > 50
        assert seen["smallest"] > 8
        for fault in ("clipped", "overlapping", "broken", "faults"):
            assert seen[fault] == [], fault
        assert seen["empty"] == 0
    assert phone["height"] > screen["height"]


Sums = Mapping[str, tuple[Kind, list[float]]]
# Deviations of the draws from the score: those common to all rows, and those per row.
COMMON, OWN = [-0.2, -0.1, 0.1, 0.2], {"profile": [0.01, -0.01, 0.01, -0.01], "simple": [0] * 4}


def made_up(sums: Sums) -> Scores:
    """Make up scores on one task, from each row's kind and its score per seed."""
    return scores_of(
        [
            result(
                *(name, "churn", value),
                [value + c + o for c, o in zip(COMMON, OWN.get(name, [0] * 4), strict=True)],
                seed=seed,
            )
            for name, (_, values) in sums.items()
            for seed, value in enumerate(values)
        ],
        {name: kind for name, (kind, _) in sums.items()},
    )


def against(profile: list[float]) -> Sums:
    count = len(profile)
    return {
        "profile": ("profile", profile),
        "a": ("block", [0.5] * count),
        "b": ("block", [0.7] * count),
        "without a": ("without", [0.99] * count),
        "simple": ("baseline", [0.74, 0.76][:count]),
    }


@pytest.mark.parametrize(
    ("profile", "verdict", "details"),
    [
        (
            [0.8, 0.82],
            "The profile is best.",
            "0.810 ± 0.014 on one task: 0.110 ahead of the best block, “b” "
            "(95%: +0.100 to +0.120), and 0.060 ahead of the best baseline, “simple” "
            "(95%: +0.050 to +0.070).",
        ),
        (
            [0.72, 0.79],
            "The profile is level with “simple”.",
            "level with the best baseline, “simple” (+0.005; 95%: −0.005 to +0.015).",
        ),
        (
            [0.6, 0.62],
            "The profile is not best here: “simple” is.",
            "0.090 behind the best block, “b” (95%: −0.100 to −0.080), and 0.140 behind",
        ),
        ([0.8], "The profile is ahead of “simple”.", "It scores 0.800 on one task: 0.100 ahead"),
        ([0.6], "The profile is not ahead: “simple” is.", "It scores 0.600 on one task"),
        ([0.745], "The profile is level with “simple”.", "level with the best baseline"),
    ],
)
def test_the_headline_is_cautious(profile: list[float], verdict: str, details: str) -> None:
    found = headline(made_up(against(profile)))
    assert found["verdict"] == verdict
    # No-break spaces hold parts of a line together.
    assert details in found["details"].replace("\xa0", " ")


def test_the_headline_of_foreign_embeddings_names_the_profile() -> None:
    sums: Sums = {"profile": ("profile", [0.9, 0.9]), "theirs": ("foreign", [0.8, 0.8])}
    found = headline(made_up(sums))
    assert found["verdict"] == "“theirs” is not best here: the profile is."
    sums = {"profile": ("profile", [0.7]), "theirs": ("foreign", [0.8])}
    assert headline(made_up(sums))["verdict"] == "“theirs” is ahead of the profile."


def test_a_single_representation_is_not_best() -> None:
    found = headline(made_up({"theirs": ("foreign", [0.8])}))
    assert found == {
        "verdict": "There is nothing to compare “theirs” with.",
        "details": "It scores 0.800 on one task.",
    }


def test_by_the_challenges_protocol_there_is_one_head_and_no_budget(tmp_path: Path) -> None:
    delivery = deliver_shop(tmp_path / "delivery", clients=100, events=300)
    home = Home(home=tmp_path / "home")
    ingest(home, str(delivery))
    with thin_networks():
        pipeline.evaluate(home, BLOCKS, tasks=["conversion"], protocol="challenge")
    page = home.report.read_text()
    left_out = {"AUROC, novelty, diversity", "Scores by head", "Fewer labels"}
    assert headings(page) == [name for name in SECTIONS if name not in left_out]
    assert "the epoch is the best one on the validation window" in page
    assert "Logistic regression" not in page


def test_the_title_is_no_name_of_a_served_profile(evaluated: dict[str, Reported]) -> None:
    record, page = evaluated["profile"].made_of[1], evaluated["profile"].page
    name = f"the profile made from events before {record.cutoff:%Y-%m-%d}"
    assert f"<h1>How good is {name}?</h1>" in page
    assert f"evaluated on {record.made_at:%Y-%m-%d %H:%M} UTC" in page
    # The version is named once, by its path.
    assert re.findall(rf"[\w/]*\b{record.profile}\b", page.split("<h3>Blocks")[0]) == [
        f"evaluation/profiles/{record.profile}"
    ]


def test_questions_name_the_positive_label(evaluated: dict[str, Reported]) -> None:
    record, page = evaluated["profile"].made_of[1], evaluated["profile"].page
    assert "Will a client, new or not, buy anything? (positive: nothing" in QUESTIONS["conversion"]
    for task in record.scores.tasks:
        assert f"<td>{QUESTIONS[task.name]}</td>" in page


@pytest.mark.parametrize("highest", [2, 8, 20, 29, 50, 5_000_000])
def test_colour_bars_have_plain_numbers(highest: float) -> None:
    points = np.random.default_rng(0).random((50, 2))
    quantity = np.linspace(1, highest, 50)
    svg = picture(
        "", "", (4, 4), lambda ax: draw_map(ax, points=points, quantity=quantity, size=8)
    ).svg
    assert "$" not in svg
    assert "math" not in svg
    labels = re.findall(r"<text[^>]*>\s*([\d.,]+)\s*</text>", svg)
    assert len(labels) >= 2


def test_labels_of_points_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(0)
    figure = Figure(figsize=(4.9, 4), layout="constrained")
    ax = figure.subplots()
    names = [f"representation_{number}" for number in range(14)]
    xs, ys = rng.random((2, len(names)))
    ax.plot(xs, ys, "o")
    ax.margins(0.2)
    label_points(ax, names, xs, ys)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in ax.texts]
    pairs = [(a, b) for place, a in enumerate(boxes) for b in boxes[:place]]
    assert len(boxes) == len(names)
    assert not any(a.overlaps(b) for a, b in pairs)


def test_the_shape_is_what_the_log_is(shop: Warehouse) -> None:
    query = " UNION ALL ".join(
        f"SELECT '{name}' AS type, client_id, timestamp FROM {name}" for name in EVENT_TYPES
    )
    events = shop.connection.execute(query).df()
    cutoff = pd.Timestamp("2022-07-04", tz="UTC")
    found = shape(shop, cutoff.to_pydatetime())
    assert {one.name: (one.events, one.clients) for one in found.types} == {
        name: (len(rows), rows.client_id.nunique()) for name, rows in events.groupby("type")
    }
    urls = shop.connection.execute("SELECT count(DISTINCT url) FROM page_visit").fetchall()[0][0]
    assert next(one for one in found.types if one.name == "page_visit").items == urls
    # The log is of 1 June to 30 July: full weeks begin on 6 June and end with 24 July.
    assert [f"{week:%m-%d}" for week in found.weeks] == [
        *("06-06", "06-13", "06-20", "06-27", "07-04", "07-11", "07-18")
    ]
    weeks = (events.timestamp - cutoff.tz_localize(None)) // pd.Timedelta("7D")
    for name, counts in found.weekly.items():
        of_type = weeks[events.type == name]
        assert counts.tolist() == [int((of_type == number).sum()) for number in range(-4, 3)]
    each = events.groupby("client_id").size()
    powers = np.floor(np.log2(each)).astype(int)
    assert found.activity.tolist() == np.bincount(powers).tolist()
    assert found.clients == len(each)
    assert found.events == len(events)
