"""`ubp refresh`: new profiles for those of whom something new is known; the others keep theirs."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.align import align
from pipelines.audit import audit
from pipelines.doctor import examine
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.revert import revert
from pipelines.status import status
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver, deliver_shop
from tests.pipelines.job import FIT, LATER
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.store.retrieval import ProfileStore

BLOCKS = ["handcrafted", "counters", "ials_categories"]
ACTIVE = [3, 17, 41]
NEXT, THEN = FIT + timedelta(days=1), FIT + timedelta(days=2)


def buys(time: str, *clients: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "client_id": clients,
            "timestamp": pd.Timestamp(time) + pd.to_timedelta(range(len(clients)), "min"),
            "sku": range(len(clients)),
        }
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose log ends at the cutoff of its profiles, which are online."""
    directory = tmp_path_factory.mktemp("before")
    home, shop = Home(directory / "home"), random_shop()
    for name, frame in shop.items():
        if "timestamp" in frame:
            shop[name] = frame[frame["timestamp"] < FIT.replace(tzinfo=None)]
    ingest(home, str(deliver(directory / "in", **shop)))
    train(home, BLOCKS, FIT)
    publish(home)
    return home


@pytest.fixture
def home(before: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(before.root, tmp_path / "home"))


def land(home: Home, directory: Path, **tables: pd.DataFrame) -> int:
    directory.mkdir(exist_ok=True)
    number = len([*directory.iterdir()])
    batch = ingest(home, str(deliver(directory / str(number), **tables))).batch
    assert batch
    return batch


def written(home: Home, version: str = "v1") -> Snapshot:
    return Snapshot.read(get_version(home, version).snapshots[-1].path)


def in_full(home: Home, directory: Path, cutoff: pd.Timestamp, version: str = "v1") -> Snapshot:
    """Encode all clients of a copy."""
    copy = Home(shutil.copytree(home.root, directory / f"full{cutoff:%d}"))
    encode(copy, [cutoff])
    return written(copy, version)


def assert_served_as_joined(home: Home, time: pd.Timestamp, version: str = "v1") -> None:
    store = ProfileStore(home, version)
    rows = pd.DataFrame({"client_id": range(1, 70), "event_timestamp": time})
    online, joined = store.lookup_many(rows["client_id"].tolist()), store.training_set(rows)
    assert np.stack([one.vector for one in online]).tobytes() == joined.X.tobytes()
    assert [one.known for one in online] == joined.known.tolist()


def test_only_those_with_new_events_are_encoded_and_as_in_a_full_encoding(
    home: Home, tmp_path: Path
) -> None:
    new = buys(f"{FIT:%Y-%m-%d} 10:00", *ACTIVE, 999)
    future = buys(f"{THEN:%Y-%m-%d}", 5)
    land(home, tmp_path / "d", product_buy=pd.concat([new, future]))
    old, full = written(home), in_full(home, tmp_path, NEXT)
    done = refresh(home, cutoff=NEXT)
    assert (done.clients, done.others, done.whole) == (4, len(old.client_ids) - 3, False)
    found = written(home)
    assert found.client_ids.tolist() == [*ACTIVE, 999]
    rows = np.searchsorted(full.client_ids, found.client_ids)
    assert found.vectors.tobytes() == full.vectors[rows].tobytes()
    publish(home)
    store = ProfileStore(home)
    assert store.lookup(3).cutoff == NEXT
    kept = store.lookup(4)
    assert (kept.known, kept.cutoff) == (True, FIT)
    assert kept.vector.tobytes() == old.vectors[old.client_ids == 4].tobytes()
    assert store.lookup(5).cutoff == FIT
    assert_served_as_joined(home, NEXT)
    assert audit(home).differences == []


def test_late_events_make_a_revision_of_the_same_cutoff(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", product_buy=buys("2022-06-20", *ACTIVE))
    old, full = written(home), in_full(home, tmp_path, FIT)
    assert refresh(home, cutoff=FIT).clients == 3
    found = written(home)
    assert found.client_ids.tolist() == ACTIVE
    rows = np.searchsorted(full.client_ids, ACTIVE)
    assert found.vectors.tobytes() == full.vectors[rows].tobytes()
    publish(home)
    assert_served_as_joined(home, NEXT)
    kept = ProfileStore(home).lookup(4).vector
    assert kept.tobytes() == old.vectors[old.client_ids == 4].tobytes()
    # Each was made of what was known when it was encoded.
    assert audit(home).differences == []
    assert status(home)["warehouse"]["stale"]["v1"] == []
    # Again there is nothing new.
    assert refresh(home, cutoff=FIT).clients == 0


def test_a_full_encoding_of_the_same_cutoff_comes_after_it(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", product_buy=buys(f"{FIT:%Y-%m-%d} 10:00", *ACTIVE))
    full = in_full(home, tmp_path, NEXT)
    refresh(home, cutoff=NEXT)
    encode(home, [NEXT])
    found = written(home)
    assert found.vectors.tobytes() == full.vectors.tobytes()
    assert not get_version(home, "v1").snapshots[-1].partial
    publish(home)
    assert_served_as_joined(home, THEN)


def test_one_refresh_follows_another_until_profiles_are_too_old(home: Home, tmp_path: Path) -> None:
    for day, client in enumerate(ACTIVE):
        time = FIT + timedelta(days=day)
        land(home, tmp_path / "d", product_buy=buys(f"{time:%Y-%m-%d} 10:00", client))
        done = refresh(home, cutoff=time + timedelta(days=1), max_age=timedelta(days=3))
        # On the third day all but two are due: then all are encoded.
        assert (done.clients, done.others, done.whole) == (
            (60, 0, True) if day == 2 else (1, 59, False)
        )
    publish(home)
    assert_served_as_joined(home, LATER)
    assert audit(home).differences == []


def test_who_logs_in_later_is_known_from_then_on(home: Home, tmp_path: Path) -> None:
    visit = buys("2022-06-20", 8).assign(known_from=pd.Timestamp(f"{FIT:%Y-%m-%d} 12:00"))
    land(home, tmp_path / "d", product_buy=visit)
    land(home, tmp_path / "d", product_buy=buys(f"{NEXT:%Y-%m-%d} 10:00", 50))
    assert refresh(home, cutoff=FIT).clients == 0
    assert refresh(home, cutoff=NEXT).clients == 1
    assert written(home).client_ids.tolist() == [8]


def test_where_events_are_gone_all_are_encoded(home: Home, tmp_path: Path) -> None:
    batch = land(home, tmp_path / "d", product_buy=buys("2022-06-20", *ACTIVE))
    refresh(home, cutoff=FIT)
    revert(home, batch)
    done = refresh(home, cutoff=FIT)
    assert done.whole
    assert done.clients == 60


def test_an_aligned_version_is_refreshed_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ingest(home, str(deliver_shop(tmp_path / "in", clients=130, events=300)))
    for seed in (0, 1):
        train(home, ["counters", "ials_categories"], FIT, seed=seed)
    align(home, "v1")
    refresh(home, cutoff=NEXT)
    full = in_full(home, tmp_path, NEXT, "v2")
    publish(home)
    for version in ("v2", "v2@v1"):
        assert_served_as_joined(home, NEXT, version)
    found = written(home, "v2")
    rows = np.searchsorted(full.client_ids, found.client_ids)
    assert 0 < len(rows) < 130
    assert found.vectors.tobytes() == full.vectors[rows].tobytes()
    assert written(home, "v2@v1").client_ids.tolist() == found.client_ids.tolist()
    with pytest.raises(UBPError, match="is mapped from v2: `ubp refresh --profile-version v2`"):
        refresh(home, "v2@v1")


def test_mistakes_are_one_line(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--max-age", "0"], "a number of days above 0"),
        (["--cutoff", "2022-06-20"], "is as of 2022-07-01 00:00 already"),
        (["--profile-version", "v9"], "no profile version is called 'v9'"),
    ):
        outcome = run_ubp(capsys, "refresh", *arguments, "--home", home.root)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_who_has_no_event_that_a_block_can_use_stays_unknown(home: Home, tmp_path: Path) -> None:
    queries = buys(f"{FIT:%Y-%m-%d} 10:00", 999).drop(columns="sku").assign(url=1)
    train(home, ["ials_categories"], FIT, skip=["handcrafted", "counters"])
    land(home, tmp_path / "d", page_visit=queries, product_buy=buys(f"{NEXT:%Y-%m-%d} 10:00", 1))
    assert refresh(home, cutoff=NEXT).clients == 0
    publish(home)
    assert not ProfileStore(home).lookup(999).known


def test_products_that_came_late_are_no_fault(home: Home, tmp_path: Path) -> None:
    products = random_shop()["product_properties"].assign(price=1, valid_from="2022-06-20")
    late = {"product_buy": buys("2022-06-20", 3), "product_properties": products}
    land(home, tmp_path / "d", **late)
    assert refresh(home, cutoff=FIT).clients == 1
    publish(home)
    assert audit(home).differences == []


def test_a_damaged_refresh_is_not_replaced_by_what_was_not_served(
    home: Home, tmp_path: Path
) -> None:
    land(home, tmp_path / "d", product_buy=buys(f"{FIT:%Y-%m-%d} 10:00", *ACTIVE))
    refresh(home, cutoff=NEXT)
    publish(home)
    path = get_version(home, "v1").snapshots[-1].path
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    with pytest.raises(DamagedFile, match="`ubp encode --cutoff 20220702T000000Z"):
        refresh(home, cutoff=NEXT)
    encode(home, [NEXT])
    rows = pd.DataFrame({"client_id": range(1, 60), "event_timestamp": datetime.now(UTC)})
    with pytest.raises(UBPError, match=r"are not in .* any more: restore it from a backup"):
        ProfileStore(home).training_set(rows, as_served=True)
    publish(home)
    assert_served_as_joined(home, NEXT)
    assert examine(home) == []


def test_doctor_compares_with_what_was_published(home: Home, tmp_path: Path) -> None:
    land(home, tmp_path / "d", product_buy=buys(f"{FIT:%Y-%m-%d} 10:00", *ACTIVE))
    refresh(home, cutoff=NEXT)
    publish(home)
    encode(home, [NEXT])
    assert not [one for one in examine(home) if "another profile" in one.problem]
