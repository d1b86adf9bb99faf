"""A home over time: new versions, new cutoffs, late events, crashes, another place."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import encode, train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LAST, LATER, day
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore


@pytest.fixture
def served_home(landed_home: Home) -> Home:
    """A home that serves handcrafted features as of FIT."""
    train(landed_home, ["handcrafted"], FIT)
    publish(landed_home)
    return landed_home


def test_a_home_can_be_moved_and_named_strangely(served_home: Home, tmp_path: Path) -> None:
    home = served_home
    before = ProfileStore(home).lookup(5).vector
    moved = Home(home=home.root.rename(tmp_path / "sp ace [home] *'ü"))
    store = ProfileStore(moved)
    entities = pd.DataFrame({"client_id": [5], "event_timestamp": [FIT]})
    assert store.training_set(entities).X[0].tobytes() == before.tobytes()
    assert store.lookup(5).vector.tobytes() == before.tobytes()
    assert str(moved.root) in status(moved)["warehouse"]["data_docs"]


def test_versions_side_by_side(landed_home: Home) -> None:
    """Published ones stay online; one that is only trained can be used offline."""
    home = landed_home
    for cutoff in (FIT, LATER):
        train(home, ["handcrafted"], cutoff)
        publish(home)
    train(home, ["handcrafted"], LAST)
    first = ProfileStore(home, "v1")
    assert first.lookup(5).cutoff == FIT
    assert ProfileStore(home).version.name == "v2"
    third = ProfileStore(home, "v3")
    entities = pd.DataFrame({"client_id": [5], "event_timestamp": [LAST]})
    assert third.training_set(entities).known.all()
    with pytest.raises(UBPError, match="v3 is not online: run `ubp publish --profile-version v3`"):
        third.lookup(5)
    with pytest.raises(UBPError, match="no profile version is called 'v9'; there are: v1, v2, v3"):
        ProfileStore(home, version="v9")


def test_an_earlier_cutoff_takes_no_model_from_its_future(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    home = Home(home=tmp_path / "home")
    early, late = day("2022-06-05"), LATER
    bought = tables["product_buy"]
    sold = bought[bought["timestamp"] > early.replace(tzinfo=None)]
    delivery = deliver(tmp_path / "delivery", product_buy=sold, page_visit=tables["page_visit"])
    ingest(home, str(delivery))
    names = ["ials_categories", "handcrafted"]
    with pytest.raises(BlockUnavailable):
        train(home, names, early)
    ingest(home, str(deliver(tmp_path / "more", product_properties=tables["product_properties"])))
    train(home, names, late)
    result = train(home, ["handcrafted"], early)
    assert [part.block for part in result.profile.parts] == ["handcrafted"]


def test_late_events_are_noticed(
    landed_home: Home, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    home = landed_home
    train(home, ["handcrafted"])
    publish(home)
    assert not status(home)["served"]["late_events"]
    assert status(home)["next"] == "ubp profile CLIENT_ID"
    late = tables["product_buy"].head(3).assign(client_id=777)
    ingest(home, str(deliver(tmp_path / "second", product_buy=late)))
    assert status(home)["served"]["late_events"]
    assert status(home)["next"] == "ubp encode && ubp publish"
    encode(home, [])
    publish(home)
    assert ProfileStore(home).lookup(777).known
    assert not status(home)["served"]["late_events"]
