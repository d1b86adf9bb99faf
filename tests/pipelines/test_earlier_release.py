"""A home that the release before made goes on working: with what it served, and with what comes."""

import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.doctor import examine, repair
from pipelines.encode import encode
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.job import day
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.home import LAYOUT, Home, HomeDescription
from ubp_platform.profile.listing import get_version
from ubp_platform.sealed import sealed_json
from ubp_platform.store.retrieval import ProfileStore

#: Of the simulated shop (40 clients, 30 days): profile v1 of `counters` before FIRST, v2 with
#: `handcrafted` before SECOND, both published to SQLite.
ARCHIVE = Path(__file__).with_name("earlier_home.tar.xz")
FIRST, SECOND = day("2022-11-20"), day("2022-11-25")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    # Feast's times in SQLite are off by the zone of the machine that wrote them, here UTC.
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    yield Home(home=tmp_path / "home")
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("version", "cutoff"), [("v1", FIRST), ("v2", SECOND)])
def test_what_it_served_is_served(home: Home, version: str, cutoff: object) -> None:
    snapshot = Snapshot.read(get_version(home, version).snapshots[-1].path)
    store = ProfileStore(home, version)
    found = store.lookup_many(snapshot.client_ids)
    assert np.stack([one.vector for one in found]).tobytes() == snapshot.vectors.tobytes()
    assert {one.cutoff for one in found} == {cutoff}
    rows = pd.DataFrame({"client_id": snapshot.client_ids, "event_timestamp": cutoff})
    assert store.training_set(rows).X.tobytes() == snapshot.vectors.tobytes()


def test_it_goes_on(home: Home) -> None:
    """Nothing is fitted again, and names are not given again."""
    assert status(home)["next"] == "ubp refresh && ubp publish"
    before = Snapshot.read(get_version(home, "v2").snapshot_path(SECOND))
    done = train(home, ["handcrafted"], SECOND)
    assert {fit.version for fit in done.reused} == {"v1"}
    assert done.profile.name == "v2"
    encode(home)
    publish(home)
    assert ProfileStore(home).lookup(6).cutoff == day("2022-11-28")
    # Encoded again by this release, the bits are the same.
    assert Snapshot.read(done.profile.snapshot_path(SECOND)).vectors.tobytes() == (
        before.vectors.tobytes()
    )
    # v1 is online as the earlier release left it.
    assert ProfileStore(home, "v1").lookup(6).cutoff == FIRST
    publish(home, "v1")
    assert ProfileStore(home, "v1").lookup(6).cutoff == FIRST
    assert train(home, ["counters"], SECOND).profile.name == "v3"
    home.root.chmod(0o700)
    # Its names are recorded from now on.
    findings = examine(home)
    assert all("record the name" in finding.problem for finding in findings)
    assert repair(findings) == examine(home) == []


def test_a_home_of_a_newer_release_is_left_alone(home: Home) -> None:
    newer = HomeDescription(layout=LAYOUT + 1, id="1234")
    (home.root / "home.json").write_text(sealed_json(newer))
    for use in (ProfileStore, train, publish):
        with pytest.raises(UBPError, match="was written by a newer release"):
            use(home)
