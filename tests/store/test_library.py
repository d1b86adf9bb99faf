"""The wheel, installed without the clone: it reads profiles and installs nothing else."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pandas as pd
import pytest

from pipelines.publish import publish
from tests.installed import closure, requirements
from tests.pipelines.job import FIT, LATER
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.store import configuration
from ubp_platform.store.feature_store import write_configuration
from ubp_platform.store.retrieval import ProfileStore

#: Not needed for reading profiles.
ABSENT = ("torch", "transformers", "great_expectations", "implicit", "lightfm", "sklearn")
# Prints what the library returns in an environment of its own.
READER = """
import importlib.util, json, sys
import pandas as pd
import ubp_platform
from ubp_platform.errors import UBPError
from ubp_platform.store.feature_store import write_configuration
from ubp_platform.store.retrieval import ProfileStore

home, entities, *absent = sys.argv[1:]
try:
    store = ProfileStore(home)
    known, stranger = store.lookup(int(pd.read_parquet(entities).client_id[0])), store.lookup(-1)
    training = store.training_set(pd.read_parquet(entities))
except UBPError as error:
    sys.exit(f"error: {error}")
print(json.dumps({
    "from": ubp_platform.__file__,
    "there": [name for name in absent if importlib.util.find_spec(name)],
    "loaded": [name for name in absent if name in sys.modules],
    "vectors": [profile.vector.tobytes().hex() for profile in (known, stranger)],
    "known": [known.known, stranger.known],
    "cutoff": known.cutoff.isoformat(),
    "X": training.X.tobytes().hex(),
    "rows": training.known.tolist(),
}))
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", directory], cwd=PROJECT_ROOT, check=True)
    (found,) = directory.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and its dependencies, and no other packages.

    pip installs the wheel. Its dependencies are not fetched again, which would take a network and
    a minute, but linked from the environment of the tests.
    """
    directory = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    install = ["--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (packages,) = directory.glob("lib/python*/site-packages")
    for name in closure(requirements("base")):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            link = packages / top
            if not link.exists():
                link.symlink_to(str(found.locate_file(top)))
    return python


def read(python: Path, home: Path, entities: Path) -> subprocess.CompletedProcess:
    """Read profiles with the wheel, from a directory outside the clone."""
    return subprocess.run(
        [python, "-I", "-c", READER, home, entities, *ABSENT],
        cwd=entities.parent,
        env=os.environ,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def entities(home: Home, tmp_path: Path) -> Path:
    clients = Snapshot.read(newest_version(home).snapshot_path(FIT)).client_ids[:5]
    path = tmp_path / "colleague" / "entities.parquet"
    path.parent.mkdir()
    pd.DataFrame(
        {"client_id": [*clients, 10**12], "event_timestamp": [*[LATER] * 4, "2000-01-01", LATER]}
    ).astype({"event_timestamp": "datetime64[us, UTC]"}).to_parquet(path)
    return path


def test_the_wheel_has_one_top_level_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ubp_platform"}
    assert {"ubp_platform/py.typed", "ubp_platform/report/page.html.j2"} <= {*names}
    assert any(name.startswith("ubp_platform/warehouse/sql/") for name in names)
    assert not any(name.endswith("entry_points.txt") for name in names)


@pytest.mark.filterwarnings("ignore::ubp_platform.store.retrieval.FutureModelWarning")
def test_it_reads_equal_bits_also_from_a_moved_home(
    python: Path, home: Home, entities: Path, tmp_path: Path
) -> None:
    publish(home)
    frame, store = pd.read_parquet(entities), ProfileStore(home)
    profiles = store.lookup_many([frame.client_id[0], -1])
    training = store.training_set(frame)
    done = read(python, home.root.rename(tmp_path / "moved"), entities)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["from"]).is_relative_to(python.parents[1])
    assert (found["there"], found["loaded"]) == ([], [])
    assert found["vectors"] == [profile.vector.tobytes().hex() for profile in profiles]
    assert (found["known"], found["cutoff"]) == ([True, False], FIT.isoformat())
    assert found["X"] == training.X.tobytes().hex()
    assert found["rows"] == training.known.tolist() == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("published_with", "read_with", "expected"),
    [
        (None, None, "localhost:6379"),
        (None, "cache.shop:1", "cache.shop:1"),
        ("old.shop:1,password=hush", "cache.shop:1", "cache.shop:1"),
        ("old.shop:1", None, "localhost:6379"),
    ],
)
def test_the_library_uses_the_redis_of_its_own_environment(
    published_with: str | None,
    read_with: str | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Home(home=tmp_path)
    monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
    for value in (published_with, read_with):
        monkeypatch.delenv("UBP_REDIS", raising=False)
        if value:
            monkeypatch.setenv("UBP_REDIS", value)
        if not home.feast.exists():
            home.prepare()
            home.draw_identity()
            write_configuration(home)
            monkeypatch.delenv("UBP_ONLINE_STORE")
            monkeypatch.setattr(configuration, "TEMPLATE", tmp_path / "none" / "none.yaml")
    found = configuration.configuration(home)["online_store"]
    assert found["type"] == "redis"
    assert found["connection_string"].endswith(f"socket_timeout=10,{expected}")
    assert found["connection_string"].count("socket_timeout") == 1


def test_an_unpublished_home_is_reported_in_one_line(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(home.feast, ignore_errors=True)
    # The wheel has no template.
    monkeypatch.setattr(configuration, "TEMPLATE", home.root / "none" / "feature_store.yaml")
    with pytest.raises(
        UBPError, match=r"\.yaml is missing: the home was never published; run `ubp"
    ):
        ProfileStore(home)
