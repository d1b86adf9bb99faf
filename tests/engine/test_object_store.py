"""Workers that see no directory of the home read the lake from an object store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("s3fs")

import ray
from ray.cluster_utils import Cluster

from pipelines.ingest import ingest
from pipelines.lake import lake
from pipelines.refresh import refresh
from pipelines.train import train
from tests.lake.s3 import object_store
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.engine.ray_engine import RayEngine
from ubp_platform.errors import UBPError
from ubp_platform.home import Home

pytestmark = pytest.mark.heavy
BLOCKS = ("ials_page_visits", "handcrafted")


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    """A cluster whose workers find the object store, as the settings of this process do."""
    with object_store() as (environment, url), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("UBP_LAKE", url)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        yield RayEngine(cluster.address)
        ray.shutdown()
        cluster.shutdown()


def test_profiles_are_the_same(tmp_path: Path, engine: RayEngine) -> None:
    home = Home(tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "delivery", **random_shop(clients=60, events=600))))
    plain = train(home, BLOCKS, FIT).profile.snapshots[0].path
    expected = Snapshot.read(plain)
    for path in (home.snapshots, home.profiles, home.root / "names"):
        shutil.rmtree(path)
    lake(home, bucket_clients=9)
    found = Snapshot.read(train(home, BLOCKS, FIT, engine=engine).profile.snapshots[0].path)
    assert found.client_ids.tolist() == expected.client_ids.tolist()
    assert found.vectors.tobytes() == expected.vectors.tobytes()
    assert not home.lake.exists()
    assert refresh(home, cutoff=FIT, engine=engine).clients == 0


def test_a_bucket_that_does_not_exist_is_named(
    tmp_path: Path, engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "delivery", **random_shop(clients=60, events=600))))
    monkeypatch.setenv("UBP_LAKE", "s3://elsewhere/lake")
    with pytest.raises(UBPError, match="the lake at s3://elsewhere/lake does not answer"):
        train(home, BLOCKS, FIT, engine=engine)
