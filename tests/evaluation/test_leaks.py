"""The protocol detects a leak and only a leak, and profiles use only the input."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.deliveries import deliver
from tests.pipelines.tiny import tiny_presets
from tests.shops import END, land, plant_future, random_shop
from ubp_platform.blocks.registry import block_names
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.evaluation import bootstrap
from ubp_platform.evaluation.backtest import backtest, plan
from ubp_platform.evaluation.baselines import baselines
from ubp_platform.evaluation.heads import HEADS
from ubp_platform.evaluation.network import NETWORKS, NetworkSize
from ubp_platform.evaluation.plan import EvaluationPlan
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import Representation, of_matrix, profile_matrix
from ubp_platform.evaluation.split import split_of
from ubp_platform.evaluation.tasks import Targets, Task
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home
from ubp_platform.profile.fitting import fit_blocks
from ubp_platform.profile.making import make_version
from ubp_platform.warehouse import targets

CLIENTS, LIKED = 1200, 4
ASKED = ("churn", "conversion", "propensity_category")
LAST = END - pd.Timedelta("1h")
CUTOFF, VALIDATION = LAST.normalize() - pd.Timedelta("27D"), LAST.normalize() - pd.Timedelta("13D")


@pytest.fixture(scope="module", autouse=True)
def thin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", NetworkSize(32, 64, 3))
        patch.setattr(bootstrap, "DRAWS", 2)
        yield


def fickle_shop(rng: np.random.Generator) -> tuple[dict[str, pd.DataFrame], np.ndarray]:
    """Make a shop in which purchases in both windows are random.

    What was before says nothing of it. Also gives the coins: a category for each client, or -1.
    """
    tables = random_shop(seed=8, clients=CLIENTS, events=2500)
    bought = tables["product_buy"]
    coins = np.where(rng.random(CLIENTS) < 0.5, rng.integers(0, LIKED, CLIENTS), -1)
    chosen = np.flatnonzero(coins >= 0)
    windows = [
        # The products 0, 1, … are of the categories 0, 1, …
        pd.DataFrame({"client_id": chosen + 1, "timestamp": time, "sku": coins[chosen]})
        for time in (CUTOFF, VALIDATION - pd.Timedelta("1us"), VALIDATION, LAST)
    ]
    tables["product_buy"] = pd.concat([bought[bought["timestamp"] < CUTOFF], *windows])
    return tables, coins


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Task], dict[str, Representation]]:
    """The tasks of a random shop; both baselines, and one that knows the purchases."""
    tables, coins = fickle_shop(np.random.default_rng(6))
    path = tmp_path_factory.mktemp("leaks") / "warehouse.duckdb"
    with land(path, tables) as warehouse:
        split = split_of(warehouse)
        assert split.cutoff.replace(tzinfo=None) == CUTOFF
        assert split.validation_start.replace(tzinfo=None) == VALIDATION
        clients = targets.clients(warehouse, split.cutoff)
        tasks = [Targets(warehouse, split, clients).task(name) for name in ASKED]
        honest = baselines(warehouse.history(split.cutoff), clients)
    known = coins[clients - 1, None] == np.arange(LIKED)
    planted = of_matrix("planted", "baseline", known.astype(np.float16))
    both = Representation("counts, planted", "baseline", honest[1].parts + planted.parts)
    return tasks, {made.name: made for made in (*honest, planted, both)}


def four_sigma(task: Task) -> float:
    """Bound the AUROC's distance from 0.5 where predictions and answers are independent."""
    yes = task.validation.sum(axis=0, dtype=float)
    no = len(task.rows) - yes
    variances = (yes + no + 1) / (12 * yes * no)
    return 4 * float(np.sqrt(variances.sum())) / len(yes)


PLANS = {
    "challenge": EvaluationPlan("challenge", ["network"]),
    **{head: EvaluationPlan(heads=[head]) for head in HEADS},
}


def aurocs(made: Representation, tasks: list[Task], plan: EvaluationPlan) -> dict[str, float]:
    scores = run([made], tasks, "small", plan)
    return {result.task: result.metrics.auroc for result in scores.results}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("name", ["planted", "counts, planted"])
def test_a_leak_is_seen(
    posed: tuple[list[Task], dict[str, Representation]], name: str, plan: EvaluationPlan
) -> None:
    tasks, made = posed
    for task, auroc in aurocs(made[name], tasks, plan).items():
        assert auroc > 0.98, task


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("name", ["recency, frequency", "counts", "planted", "counts, planted"])
def test_of_shuffled_labels_nothing_is_learned(
    posed: tuple[list[Task], dict[str, Representation]], name: str, plan: EvaluationPlan
) -> None:
    tasks, made = posed
    rng = np.random.default_rng(11)
    # Each window separately: memorizing one does not help in the other.
    shuffled = [
        replace(
            task, train=rng.permutation(task.train), validation=rng.permutation(task.validation)
        )
        for task in tasks
    ]
    found = aurocs(made[name], shuffled, plan)
    for task in shuffled:
        assert four_sigma(task) < 0.09
        assert found[task.name] == pytest.approx(0.5, abs=four_sigma(task)), task.name


@pytest.fixture(scope="module")
def tiny_blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tiny_presets(tmp_path_factory.mktemp("language")):
        yield


@pytest.mark.heavy
def test_no_bit_of_a_profile_knows_the_windows_or_what_came_later(
    tmp_path: Path, tiny_blocks: None
) -> None:
    shop = random_shop(seed=5, clients=60, events=900)
    last = shop["product_buy"]["timestamp"].max()
    start = last.normalize() - pd.Timedelta("27D")
    shop, late = plant_future(shop, start), random_shop(seed=6, clients=60, events=300)
    products = shop.pop("product_properties")
    before = {name: frame[frame["timestamp"] < start] for name, frame in shop.items()}
    # In the windows, or before them and delivered later.
    after = {
        name: pd.concat(
            [frame[frame["timestamp"] >= start], late[name][late[name]["timestamp"] < start]]
        )
        for name, frame in shop.items()
    }
    assert all(len(before[name]) and len(after[name]) for name in EVENT_TYPES)
    whole_log, cut_log = Home(home=tmp_path / "whole"), Home(home=tmp_path / "cut")
    delivery = deliver(tmp_path / "before", **before, product_properties=products)
    then = (start - pd.Timedelta("1us")).tz_localize("UTC").to_pydatetime()
    ingest(whole_log, str(delivery), delivered_at=then)
    ingest(whole_log, str(deliver(tmp_path / "after", **after)))
    tested = backtest(whole_log, *plan(whole_log), block_names(), as_delivered=True)
    cutoff = tested.split.cutoff
    assert cutoff.replace(tzinfo=None) == start
    assert tested.split.end.replace(tzinfo=None) == last
    assert [part.block for part in tested.version.parts] == list(block_names())

    ingest(cut_log, str(deliver(tmp_path / "cut_off", **before, product_properties=products)))
    # Its last purchase is another one, and so would its split be.
    fits = fit_blocks(cut_log, block_names(), cutoff=cutoff)
    version = make_version(cut_log, fits, directory=cut_log.evaluation / "profiles")
    profiles = Snapshot.read(version.snapshot_path(cutoff))
    matrix, known = profile_matrix(version, cutoff, tested.clients)

    assert known == len(tested.clients) - tested.unknown == 60
    assert matrix.shape == tested.matrix.shape
    assert matrix.tobytes() == tested.matrix.tobytes()
    # Also before they are rounded to float16.
    ours = Snapshot.read(tested.version.snapshot_path(cutoff))
    assert ours.client_ids.tolist() == profiles.client_ids.tolist()
    assert ours.vectors.tobytes() == profiles.vectors.tobytes()
    assert version.mean.tobytes() == tested.version.mean.tobytes()
    assert len(np.unique(matrix, axis=0)) == 60
