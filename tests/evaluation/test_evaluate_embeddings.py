"""``ubp evaluate --embeddings``: foreign vectors, scored like the profile."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.evaluated import CLIENTS, Ubp, assert_one_line, by_hand
from ubp_platform.home import Home

pytestmark = pytest.mark.usefixtures("thin")


def test_foreign_embeddings_are_scored_beside_the_profile(
    ubp: Ubp, home: Home, tmp_path: Path
) -> None:
    foreign = tmp_path / "theirs"
    foreign.mkdir()
    rng = np.random.default_rng(0)
    # In another order than ours.
    np.save(foreign / "client_ids.npy", rng.permutation(np.arange(1, CLIENTS + 1)))
    np.save(foreign / "embeddings.npy", rng.normal(size=(CLIENTS, 5)).astype(np.float16))
    before = sorted(path.name for path in home.blocks.rglob("*"))
    outcome = ubp("evaluate", "--embeddings", foreign, "--tasks", "churn,propensity_category")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in home.blocks.rglob("*")) == before
    assert "Fitted now" not in outcome.out
    assert "What the profile loses" not in outcome.out
    found = json.loads((home.evaluation / "evaluation.json").read_text())
    assert [(made["name"], made["kind"]) for made in found["scores"]["representations"]] == [
        ("profile", "profile"),
        ("theirs/", "foreign"),
        ("recency, frequency", "baseline"),
        ("counts", "baseline"),
        ("handcrafted", "baseline"),
    ]
    # Everything else was scored before, the handcrafted features as a block.
    theirs = [r for r in found["scores"]["results"] if r["representation"] == "theirs/"]
    assert found["scores"]["reused"] == len(found["scores"]["results"]) - len(theirs)
    # If one client is missing, nothing is scored.
    np.save(foreign / "client_ids.npy", np.arange(2, CLIENTS + 2))
    lacking = ubp("evaluate", "--embeddings", foreign)
    assert_one_line(
        lacking, r"theirs lacks 1 of the 300 clients to evaluate, such as 1; --clients "
    )


def test_foreign_embeddings_need_no_profile(fresh_ubp: Ubp, home: Home, tmp_path: Path) -> None:
    # Named like a baseline, they remain distinct.
    foreign = tmp_path / "counts"
    foreign.mkdir()
    np.save(foreign / "client_ids.npy", np.arange(1, CLIENTS + 1))
    np.save(foreign / "embeddings.npy", np.ones((CLIENTS, 2), np.float16))
    outcome = fresh_ubp("evaluate", "--embeddings", foreign, "--tasks", "churn")
    assert outcome.code == 0, outcome.err
    found = json.loads((home.evaluation / "evaluation.json").read_text())
    names = [made["name"] for made in found["scores"]["representations"]]
    assert names == ["counts/", "recency, frequency", "counts", "handcrafted"]
    # Equal vectors carry no information.
    assert by_hand(found)["counts/"] == {"churn": [0.5]} != by_hand(found)["counts"]
    assert not home.blocks.exists()
