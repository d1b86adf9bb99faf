"""The state of a home after evaluations: nothing served, incomplete or unreadable."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluate import evaluate
from pipelines.ingest import ingest
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.shops import random_shop
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.ials import IALSCategories
from ubp_platform.home import Home

BLOCKS = ["ials_categories", "handcrafted"]
CLIENTS = 120
pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a small shop; tests that change it use `home`."""
    directory = tmp_path_factory.mktemp("state")
    home = Home(home=directory / "home")
    ingest(home, str(deliver(directory / "delivery", **random_shop(clients=CLIENTS))))
    return home


@pytest.fixture
def home(landed: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return Home(home=shutil.copytree(landed.root, tmp_path / "home"))


def put_embeddings(directory: Path, clients: int) -> Path:
    directory.mkdir()
    np.save(directory / "client_ids.npy", np.arange(1, clients + 1))
    np.save(directory / "embeddings.npy", np.ones((clients, 2), np.float16))
    return directory


def test_fits_of_an_evaluation_stay_out_of_profiles_for_serving(home: Home) -> None:
    cutoff = evaluate(home, ["handcrafted"], tasks=["churn"]).cutoff
    # The served profile was fitted before the split, with another seed.
    old = train(home, BLOCKS, cutoff - timedelta(days=9), seed=7)
    served = {part.block: part.version for part in old.profile.parts}
    evaluate(home, BLOCKS, tasks=["churn"])
    assert Catalog(home).newest("ials_categories").version != served["ials_categories"]
    again = {part.block: part.version for part in train(home, ["handcrafted"]).profile.parts}
    assert again["ials_categories"] == served["ials_categories"]


def test_foreign_embeddings_stand_beside_the_profile_evaluated_last(
    home: Home, tmp_path: Path
) -> None:
    clients = evaluate(home, BLOCKS, tasks=["churn"]).clients
    evaluate(home, ["handcrafted"], tasks=["churn"])
    last = evaluate(home, BLOCKS, tasks=["churn"])
    foreign = put_embeddings(tmp_path / "theirs", clients)
    for _ in range(2):
        found = evaluate(home, tasks=["churn"], embeddings=foreign)
        assert found.profile == last.profile
        assert [block.name for block in found.blocks] == BLOCKS
        assert found.scores.sums["profile"] == last.scores.sums["profile"]


def test_ctrl_c_in_a_fit_ends_the_evaluation(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = IALSCategories._fit

    def cut_off(self: IALSCategories, *arguments: object) -> None:
        whole(self, *arguments)
        self.report_.complete = False

    with monkeypatch.context() as patch:
        patch.setattr(IALSCategories, "_fit", cut_off)
        with pytest.raises(KeyboardInterrupt):
            evaluate(home, BLOCKS, tasks=["churn"])
    assert not Catalog(home).versions("ials_categories")
    assert not (home.evaluation / "evaluation.json").exists()
    assert evaluate(home, BLOCKS, tasks=["churn"]).scores.sums["profile"] > 0


def test_a_score_that_was_cut_off_is_made_again(home: Home) -> None:
    first = evaluate(home, ["handcrafted"], tasks=["churn"])
    kept = sorted((home.evaluation / "scores").glob("*.json"))
    kept[0].write_text("")
    kept[1].write_text(kept[1].read_text()[:40])
    again = evaluate(home, ["handcrafted"], tasks=["churn"])
    assert again.scores.sums == first.scores.sums
    assert all(json.loads(path.read_text()) for path in kept)


def test_a_name_is_not_taken_for_markup(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = evaluate(home, ["handcrafted"], tasks=["churn"]).clients
    foreign = put_embeddings(tmp_path / "[red]x", clients)
    arguments = ["evaluate", "--embeddings", foreign, "--tasks", "churn", "--home", home.root]
    assert "[red]x/" in run_ubp(capsys, *arguments).out
    assert "[red]x/" in run_ubp(capsys, "status", "--home", home.root).out


def test_blocks_are_fitted_with_several_seeds(home: Home) -> None:
    one = evaluate(home, BLOCKS, tasks=["conversion"], heads=["network"])
    found = evaluate(home, BLOCKS, tasks=["conversion"], heads=["network"], block_seeds=2)
    assert found.scores.block_seeds == [0, 1]
    fits = Catalog(home).versions("ials_categories")
    assert [fit.directory.name for fit in fits] == ["v1", "v2"]
    # The profile of the first seed is the one from before.
    first, second = found.scores.of("profile", "conversion")
    assert first == one.scores.of("profile", "conversion")[0]
    assert (first.block_seed, second.block_seed) == (0, 1)
    assert found.scores.score("profile").between > 0
    assert found.profile == one.profile
    # Nothing is learned in these.
    features = found.scores.of("handcrafted", "conversion")
    assert features[0].metrics == features[1].metrics
    assert len(found.scores.of("counts", "conversion")) == 1
    profile = next(
        s for s in found.summary.scores if (s.representation, s.task) == ("profile", None)
    )
    assert profile.block_deviation == found.scores.score("profile").between
    assert profile.deviation == 0


def test_what_a_user_would_pick_instead_is_always_there(home: Home) -> None:
    found = evaluate(
        home, ["ials_categories"], tasks=["conversion"], heads=["boosting", "logistic"]
    )
    baselines = found.scores.of_kind("baseline")
    assert [(info.name, info.width) for info in baselines] == [
        ("recency, frequency", 4),
        ("counts", 305),
        ("handcrafted", 42),
    ]
    for info in baselines:
        assert found.scores.heads_of(info.name) == ["logistic", "boosting"]
    # They are the same numbers as a block of a profile.
    block = evaluate(home, BLOCKS, tasks=["conversion"], heads=["logistic"])
    assert [info.kind for info in block.scores.representations if info.name == "handcrafted"] == [
        "block"
    ]
    assert block.scores.score("handcrafted") == found.scores.score("handcrafted", head="logistic")
