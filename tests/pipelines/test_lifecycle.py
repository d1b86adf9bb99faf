"""A home over time: new versions, new cutoffs, late events, crashes, another location."""

import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from feast import FeatureStore
from rich.console import Console

from pipelines.console.status import status_tables
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LAST, LATER, day
from tests.shops import random_shop
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import versions
from ubp_platform.store.feature_store import repo_config
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
    """Published versions stay online; one that is only trained can be used offline."""
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
    with pytest.raises(UBPError, match=r"v3 is not online in .*: `ubp publish --pr"):
        third.lookup(5)
    with pytest.raises(UBPError, match="no profile version is called 'v9'; there are: v1, v2, v3"):
        ProfileStore(home, version="v9")


def test_the_name_of_a_served_profile_is_never_reused(served_home: Home) -> None:
    shutil.rmtree(served_home.profiles)
    train(served_home, ["counters"], FIT)
    assert [version.name for version in versions(served_home)] == ["v2"]


def test_a_client_with_most_events_is_named(home: Home, tmp_path: Path) -> None:
    frame = random_shop(clients=120)["page_visit"]
    robot = frame.assign(client_id=7, url=range(len(frame)))
    ingest(home, str(deliver(tmp_path / "first", page_visit=frame)))
    few = status(home)["warehouse"]["busiest"]
    assert few["share"] < 0.1
    ingest(home, str(deliver(tmp_path / "second", page_visit=robot)))
    found = status(home)
    own = (frame["client_id"] == 7).sum()
    assert found["warehouse"]["busiest"] == {
        "client_id": 7,
        "share": pytest.approx((own + len(frame)) / (2 * len(frame))),
    }
    console = Console(width=80)
    with console.capture() as printed:
        console.print(status_tables(found))
    assert "Client 7 alone has 5" in printed.get()


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
    left_out = {"ials_categories": "fitted on events after this cutoff only"}
    assert result.unavailable == left_out


def test_the_profile_trained_last_is_published(landed_home: Home) -> None:
    home, both = landed_home, ["handcrafted", "ials_categories"]
    train(home, both, FIT)
    less = train(home, both, FIT, skip=["ials_*"]).profile
    assert [part.block for part in less.parts] == ["handcrafted"]
    # Fitting another block does not bring a skipped one back.
    assert train(home, ["handcrafted"], FIT).profile.name == less.name == publish(home).version
    again = train(home, both, FIT)
    assert (again.fitted, again.profile.name) == ([], "v3")
    assert publish(home).version == "v3"


def test_an_older_version_that_is_served_on_purpose_stays(
    landed_home: Home, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    home = landed_home
    train(home, ["handcrafted"])
    train(home, ["handcrafted", "ials_categories"])
    assert status(home)["next"] == "ubp publish"
    time.sleep(1)  # versions and publishing know the second
    publish(home, "v1")
    assert status(home)["next"] == "ubp profile CLIENT_ID"
    visits = tables["page_visit"].head(3).assign(timestamp=pd.Timestamp("2022-12-01"))
    ingest(home, str(deliver(tmp_path / "next", page_visit=visits)))
    both = "ubp refresh --profile-version v1 && ubp publish --profile-version v1"
    assert status(home)["next"] == both
    encode(home, version="v1")
    assert status(home)["next"] == "ubp publish --profile-version v1"
    assert publish(home, "v1").cutoff == "2022-12-02T00:00:00+00:00"
    assert status(home)["next"] == "ubp profile CLIENT_ID"


@pytest.mark.parametrize(
    ("damaged", "command", "words"),
    [
        ("feast/online.db", "profile 5", "; remove "),
        ("profiles/v1/profile.json", "publish", "or `ubp train && ubp publish` makes and serves"),
        (
            "profiles/v1/normalizers.safetensors",
            "profile 999999999",
            "restore it from a backup, or `ubp",
        ),
    ],
)
def test_a_damaged_file_is_named_with_its_cure(
    damaged: str, command: str, words: str, served_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    path = served_home.root / damaged
    path.write_bytes(b"{ damaged by a crash of the disk" * 100)
    found = run_ubp(capsys, *command.split(), "--home", served_home.root)
    assert (found.code, found.err.count("\n")) == (2, 1), found.err
    assert f"{path}" in found.err
    assert words in found.err


@pytest.mark.parametrize(
    "damaged", ["feast/served.json", "profiles/v1/profile.json", "blocks/handcrafted/v1/block.json"]
)
def test_status_names_damaged_files(
    damaged: str, served_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    (served_home.root / damaged).write_bytes(b"{")
    found = run_ubp(capsys, "status", "--home", served_home.root)
    assert (found.code, found.err) == (0, "")
    (named,) = status(served_home)["damaged"]
    assert str(served_home.root / damaged) in named


def test_publish_writes_a_damaged_registry_and_pointer_again(served_home: Home) -> None:
    for name in ("registry.db", "served.json"):
        (served_home.feast / name).write_bytes(b"{ damaged")
    publish(served_home)
    assert FeatureStore(config=repo_config(served_home)).list_feature_views()
    assert ProfileStore(served_home).lookup(5).known


def test_permissions_follow_the_umask(served_home: Home) -> None:
    weights, described = (
        {path.stat().st_mode for path in served_home.root.rglob(f"v1/*.{ending}")}
        for ending in ("safetensors", "json")
    )
    assert weights == described


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
    assert status(home)["next"] == "ubp refresh && ubp publish"
    encode(home, [])
    assert status(home)["next"] == "ubp publish"
    publish(home)
    assert status(home)["next"] == "ubp profile CLIENT_ID"
    assert ProfileStore(home).lookup(777).known
    assert not status(home)["served"]["late_events"]
