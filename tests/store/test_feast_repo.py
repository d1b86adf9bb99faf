"""Feast alone: the directory of the clone is an ordinary Feast repository."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from feast import FeatureStore

from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.job import FIT
from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.store.retrieval import ProfileStore


def test_the_directory_alone_opens_the_usual_home(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feast's own way: ``FeatureStore(repo_path="feature_repo")`` beside ``ubp_home``."""
    for name in ("UBP_HOME", "UBP_ONLINE_STORE"):
        monkeypatch.delenv(name, raising=False)
    usual = Home(home=home.root.rename(tmp_path / "ubp_home"))
    publish(usual)
    train(usual, ["counters"], FIT)
    publish(usual)
    shutil.copytree(PROJECT_ROOT / "feature_repo", tmp_path / "feature_repo")
    store = FeatureStore(repo_path=str(tmp_path / "feature_repo"))
    requested = [{"client_id": 5}]
    found = store.get_online_features(store.get_feature_service("profile_v2"), requested).to_dict()
    assert np.array_equal(
        np.array(found["embedding"][0], np.float32), ProfileStore(usual).lookup(5).vector
    )
    # Several views at once, by Feast's own option.
    both = [f"{view}:embedding" for view in ("profile_v1_p1", "profile_v2_p2")]
    found = store.get_online_features(both, requested, full_feature_names=True).to_dict()
    widths = [len(found[f"{view}__embedding"][0]) for view in ("profile_v1_p1", "profile_v2_p2")]
    assert widths == [42, 234]
    assert {path.name for path in (tmp_path / "feature_repo").iterdir()} == {
        path.name for path in (PROJECT_ROOT / "feature_repo").iterdir()
    }
