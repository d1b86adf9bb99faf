"""``ubp evaluate`` from a user's view: what it prints, stores, and does not change."""

import json
import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.evaluated import BLOCKS, Ubp, assert_one_line, by_hand
from tests.pipelines.deliveries import deliver, purchases
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.home import Home

# For a log that ends with 30 July.
CUTOFF, VALIDATION = "2022-07-03", "2022-07-17"
TASK_NAMES = ["churn", "conversion", "propensity_category", "propensity_sku", "propensity_price"]
COMPARED = [
    *("profile", *BLOCKS, *(f"without {name}" for name in BLOCKS)),
    *("recency, frequency", "counts"),
]
pytestmark = pytest.mark.usefixtures("thin")


TITLES = {
    "Scores": "",
    "profile less": "less ",
    "AUROC, and": "auroc ",
    "Sum by head": "head ",
    "Sum by labelled": "labels ",
    "What the profile loses": "lost ",
}


def rows(out: str) -> dict[str, list[str]]:
    """Parse the rows of the tables by name, with a prefix except in the first table."""
    found, prefix = {}, ""
    for line in out.splitlines():
        prefix = next((told for title, told in TITLES.items() if line.startswith(title)), prefix)
        name, *cells = re.split(r"\s{2,}", line.strip())
        if name in COMPARED and cells:
            found[prefix + name] = cells
    return found


def of_scores(shown: dict[str, list[str]]) -> dict[str, list[str]]:
    """Filter the rows of the first table and of what the profile loses."""
    return {name: cells for name, cells in shown.items() if name in COMPARED or "lost" in name}


def short(number: float, sign: str = "") -> str:
    text = f"{number:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(number) < 1 else text


def test_what_it_prints(fresh_ubp: Ubp, tmp_path: Path) -> None:
    names = ",".join(BLOCKS)
    first = fresh_ubp("evaluate", "--blocks", names, "--json", tmp_path / "first.json")
    assert first.code == 0, first.err
    assert first.err == ""
    assert (
        f"Input before {CUTOFF}; heads are fitted on what happened from then to {VALIDATION}, "
        "and scored on what happened from then to 2022-07-30 22:30; 300 clients"
    ) in " ".join(first.out.split())
    assert f"Fitted now: {', '.join(BLOCKS)}\n" in first.out
    assert "Fitted before" not in first.out
    assert "Left out propensity_new_sku: it has 0 of the two classes" in first.out
    assert re.search(r"churn +conv +cat +sku +price +sum +Borda", first.out)
    assert "Protocol holdout; network small; 1 seed; --seeds 3 shows the noise\n" in first.out
    shown = rows(first.out)
    named = [name for name in shown if name not in of_scores(shown)]
    assert {name.split()[0] for name in named} == {"less", "auroc", "head", "labels"}
    assert "less profile" not in named
    shown = of_scores(shown)
    assert set(shown) == {name for name in COMPARED if "without" not in name} | {
        f"lost {name}" for name in BLOCKS
    }
    # The best sum first.
    sums = [float(cells[-2]) for name, cells in shown.items() if "lost" not in name]
    assert sums == sorted(sums, reverse=True)

    again = fresh_ubp("evaluate", "--blocks", names, "--json", tmp_path / "again.json")
    assert again.code == 0, again.err
    assert f"Fitted before: {', '.join(BLOCKS)}\n" in again.out
    assert "Fitted now" not in again.out
    total = len(json.loads((tmp_path / "again.json").read_text())["scores"]["results"])
    assert f"{total} of {total} scores are reused" in again.out
    assert of_scores(rows(again.out)) == shown
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("first", "again"))
    assert one["scores"]["results"] == two["scores"]["results"]
    assert one["profile"] == two["profile"] == "v1"


def test_the_file_holds_what_the_table_shows(ubp: Ubp, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    again = ("--heads", "network,logistic", "--labels", "30,100", "--json", path)
    outcome = ubp("evaluate", "--blocks", ",".join(BLOCKS), "--seeds", 2, *again)
    assert outcome.code == 0, outcome.err
    found = json.loads(path.read_text())
    assert found == json.loads((home.evaluation / "evaluation.json").read_text())
    assert found["cutoff"] == f"{CUTOFF}T00:00:00Z"
    assert found["validation_start"] == f"{VALIDATION}T00:00:00Z"
    assert found["end"] == "2022-07-30T22:30:00Z"
    assert (found["clients"], found["unknown"], found["preset"]) == (300, 0, "small")
    assert [(block["name"], block["fitted"]) for block in found["blocks"]] == [
        (name, False) for name in BLOCKS
    ]
    assert list(found["unavailable_tasks"]) == ["propensity_new_sku"]
    assert [task["name"] for task in found["scores"]["tasks"]] == TASK_NAMES
    assert [made["name"] for made in found["scores"]["representations"]] == COMPARED
    assert found["scores"]["budgets"] == [30, 100]
    # All rows of the first seed: by two heads, without a block by one.
    assert found["scores"]["reused"] == (5 * 2 + 2) * len(TASK_NAMES) + 4 * 2 * len(TASK_NAMES)

    scores, shown = by_hand(found), rows(outcome.out)
    assert set(scores) == set(COMPARED)
    sums = {name: [sum(of) for of in zip(*s.values(), strict=True)] for name, s in scores.items()}
    ranked = [name for name in COMPARED if "without" not in name]
    for name in ranked:
        means = {task: fmean(scores[name][task]) for task in TASK_NAMES}
        points = sum(
            sum(means[task] > fmean(scores[other][task]) for other in ranked if other != name)
            for task in TASK_NAMES
        )
        noise = short(stdev(sums[name]))
        expected = [*map(short, means.values()), short(fmean(sums[name])), noise, str(points)]
        assert shown[name] == expected
    by_key = {(s["representation"], s["task"]): s for s in found["summary"]["scores"]}
    lost = {
        (d["over"], d["task"]): d
        for d in found["summary"]["differences"]
        if d["one"] == "profile" and d["over"].startswith("without")
    }
    for name in BLOCKS:
        without = f"without {name}"
        for task in TASK_NAMES:
            # Both by logistic regression.
            mean = by_key["profile", task]["by_head"]["logistic"]
            mean -= by_key[without, task]["by_head"]["logistic"]
            assert lost[without, task]["mean"] == pytest.approx(mean)
        total = lost[without, None]
        values = [*(lost[without, task]["mean"] for task in TASK_NAMES), total["mean"]]
        values += [total["low"], total["high"]]
        assert shown[f"lost {name}"] == [short(value, "+") for value in values]
    for difference in found["summary"]["differences"]:
        if difference["task"] is None and not difference["over"].startswith("without"):
            values = [difference[key] for key in ("mean", "low", "high")]
            ahead = f"{difference['ahead']:.0%}"
            assert shown[f"less {difference['over']}"] == [
                *(short(value, "+") for value in values),
                ahead,
            ]
    labelled = {
        (one["representation"], one["labels"]): one["mean"]
        for one in found["summary"]["budgets"]
        if one["task"] is None
    }
    for name in ("profile", "handcrafted", "counts", "recency, frequency"):
        assert shown[f"labels {name}"] == [
            short(labelled[name, labels]) for labels in (30, 100, None)
        ]
    assert "labels ials_categories" not in shown
    assert "Protocol holdout; network small; 2 seeds; ± is the deviation over seeds" in outcome.out


def test_classes_that_nobody_bought_are_noted(ubp: Ubp, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    np.save(given / "propensity_sku.npy", [0, 1, 2, 999])
    np.save(given / "popularity_propensity_sku.npy", [1, 1, 1, 1])
    outcome = ubp(
        *("evaluate", "--blocks", "handcrafted", "--tasks", "propensity_sku", "--classes", given)
    )
    assert outcome.code == 0, outcome.err
    told = "Classes that nobody bought in the last window: sku 1 of 4."
    assert f"{told} They are left out\n" in outcome.out
    counted = ubp(
        *("evaluate", "--blocks", "handcrafted", "--tasks", "propensity_sku", "--classes", given),
        *("--protocol", "challenge"),
    )
    assert counted.code == 0, counted.err
    assert f"{told} Their AUROC counts as 0 for every row, as in the challenge" in counted.out
    assert "Protocol challenge; network small; 1 seed;" in counted.out
    assert "Sum by" not in counted.out


@pytest.mark.parametrize(
    "options",
    [
        ["--tasks", "conversion,churn"],
        ["--tasks", "churn", "--tasks", "conversion"],
        ["--tasks", " churn, ,conversion,churn "],
    ],
)
def test_only_the_tasks_that_are_named(ubp: Ubp, home: Home, options: list[str]) -> None:
    outcome = ubp("evaluate", "--blocks", "handcrafted,ials_cat*", *options)
    assert outcome.code == 0, outcome.err
    found = json.loads((home.evaluation / "evaluation.json").read_text())
    assert [task["name"] for task in found["scores"]["tasks"]] == ["churn", "conversion"]
    assert found["unavailable_tasks"] == {}
    assert re.search(r"churn +conv +sum +Borda", outcome.out)
    # The same ones as among all tasks.
    assert found["scores"]["reused"] == len(found["scores"]["results"])


def test_blocks_are_named_with_commas_patterns_and_again(ubp: Ubp, home: Home) -> None:
    def profile(*options: str) -> list[str]:
        outcome = ubp("evaluate", "--tasks", "churn", *options)
        assert outcome.code == 0, outcome.err
        found = json.loads((home.evaluation / "evaluation.json").read_text())
        return [block["name"] for block in found["blocks"]]

    assert profile("--blocks", "handcrafted", "--blocks", "ials_cat*") == BLOCKS
    assert profile("--blocks", "handcrafted,ials_*,handcrafted") == [
        "ials_categories",
        "ials_page_visits",
        "handcrafted",
    ]
    assert profile("--blocks", "handcrafted") == ["handcrafted"]


def test_clients_are_asked_about_in_the_order_of_the_file(
    ubp: Ubp, home: Home, tmp_path: Path
) -> None:
    # Client 9999 is not in the log.
    order = np.random.default_rng(1).permutation(np.append(np.arange(1, 250), 9999))
    np.save(tmp_path / "listed.npy", order)
    np.save(tmp_path / "ascending.npy", np.sort(order))
    pd.DataFrame({"client_id": order}).to_parquet(tmp_path / "listed.parquet")

    def listed(file: str) -> tuple[str, dict[str, Any]]:
        outcome = ubp(
            *("evaluate", "--blocks", "ials_categories,handcrafted", "--tasks", "conversion"),
            *("--clients", tmp_path / file),
        )
        assert outcome.code == 0, outcome.err
        return outcome.out, json.loads((home.evaluation / "evaluation.json").read_text())

    out, first = listed("listed.npy")
    assert "1 of them have no event that these blocks read: the mean profile" in out
    assert (first["clients"], first["unknown"]) == (250, 1)
    assert first["clients_from"] == str(tmp_path / "listed.npy")
    assert first["scores"]["reused"] == 0
    assert first["scores"]["tasks"][0]["clients"] == 250
    # Heads see the clients in another order, so the scores of the same vectors differ.
    _, ascending = listed("ascending.npy")
    assert ascending["scores"]["reused"] == 0
    assert ascending["scores"]["tasks"] == first["scores"]["tasks"]
    assert by_hand(ascending) != by_hand(first)
    _, again = listed("listed.parquet")
    assert again["scores"]["reused"] == len(again["scores"]["results"])
    assert by_hand(again) == by_hand(first)


def test_an_evaluated_profile_is_not_one_to_serve(ubp: Ubp) -> None:
    status = json.loads(ubp("status", "--json").out)
    assert (status["profiles"], status["next"]) == ([], "ubp train")
    assert_one_line(ubp("publish"), "there is no profile yet: run `ubp train` first")


def test_what_is_served_stays_and_later_fits_stay_the_newest(fresh_ubp: Ubp, home: Home) -> None:
    """Train, publish, evaluate, and train one block again, as over a year of use."""
    assert fresh_ubp("train", *BLOCKS).code == 0
    assert fresh_ubp("publish").code == 0
    before = json.loads(fresh_ubp("status", "--json").out)
    vector = fresh_ubp("profile", 7, "--json").out
    outcome = fresh_ubp("evaluate", "--blocks", ",".join(BLOCKS), "--tasks", "churn")
    assert outcome.code == 0, outcome.err
    assert f"Fitted now: {', '.join(BLOCKS)}\n" in outcome.out

    after = json.loads(fresh_ubp("status", "--json").out)
    assert after["profiles"] == before["profiles"]
    assert after["served"] == before["served"]
    assert after["next"] == before["next"] == "ubp profile CLIENT_ID"
    assert fresh_ubp("publish").code == 0
    assert json.loads(fresh_ubp("status", "--json").out)["served"]["version"] == "v1"
    assert fresh_ubp("profile", 7, "--json").out == vector

    # The newest fits are those of the evaluation, from less data.
    ials = Catalog(home).versions("ials_categories")
    assert [f"{fit.report.cutoff:%Y-%m-%d}" for fit in ials] == ["2022-07-31", CUTOFF]
    trained = fresh_ubp("train", "handcrafted", "--seed", 1)
    assert trained.code == 0, trained.err
    newest = json.loads(fresh_ubp("status", "--json").out)["profiles"][-1]
    assert newest["blocks"] == {"ials_categories": "v1", "handcrafted": "v3"}
    # Conversely, an evaluation uses no fit that has seen the windows.
    again = fresh_ubp("evaluate", "--blocks", ",".join(BLOCKS), "--tasks", "churn")
    assert f"Fitted before: {', '.join(BLOCKS)}\n" in again.out
    total = len(json.loads((home.evaluation / "evaluation.json").read_text())["scores"]["results"])
    assert f"{total} of {total} scores are reused" in again.out


def test_a_late_event_of_the_input_makes_another_profile(ubp: Ubp, tmp_path: Path) -> None:
    late = purchases(
        3, client_id=5, timestamp=pd.Timestamp("2022-06-20 10:00") + pd.Timedelta("1s")
    )
    late["timestamp"] += pd.to_timedelta(np.arange(3), "s")
    assert ubp("ingest", deliver(tmp_path / "late", product_buy=late)).code == 0
    outcome = ubp("evaluate", "--blocks", "handcrafted", "--tasks", "conversion")
    assert outcome.code == 0, outcome.err
    assert "Fitted now: handcrafted\n" in outcome.out
    assert "scores are reused" not in outcome.out
