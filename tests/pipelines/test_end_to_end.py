"""The main job on a small shop with all event types: ingest, train, encode, publish, use."""

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from feast.cli.cli import cli as feast_cli

from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LAST, LATER, day
from tests.pipelines.tiny import tiny_presets
from tests.processes import exit_code
from tests.shops import random_shop
from ubp_platform.blocks.registry import block_names
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.store.feature_store import repo_config
from ubp_platform.store.retrieval import FutureModelWarning, ProfileStore


@pytest.fixture(scope="module", autouse=True)
def tiny_blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tiny_presets(tmp_path_factory.mktemp("language")):
        yield


@pytest.fixture(scope="module")
def home(
    landed_shop: Home, tables: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """A home after one complete job, fitted at FIT and encoded up to LAST.

    All prices and categories change at FIT.
    """
    directory = tmp_path_factory.mktemp("job")
    home = Home(home=shutil.copytree(landed_shop.root, directory / "home"))
    products = tables["product_properties"]
    changed = products.assign(
        price=products["price"].to_numpy()[::-1],
        category=products["category"] + 1,
        valid_from=FIT.replace(tzinfo=None),
    )
    ingest(home, str(deliver(directory / "changed", product_properties=changed)))
    train(home, block_names(), FIT)
    encode(home, [LATER, LAST])
    publish(home)
    return home


def test_all_blocks_make_the_profile(home: Home) -> None:
    version = newest_version(home)
    assert [part.block for part in version.parts] == list(block_names())
    assert version.width == len(version.mean)
    snapshot = Snapshot.read(version.snapshot_path(LAST))
    for part in version.parts:
        own = snapshot.vectors[:, part.start : part.start + part.width]
        if part.kind == "unit":
            # Means of absent clients aside, each block has length one.
            lengths = np.linalg.norm(own, axis=1)
            assert np.isclose(lengths, 1, atol=1e-5).mean() > 0.9
        elif part.kind == "quantile":
            # Quantiles over an interval of length 2 that has 0 in it.
            assert own.min() >= -2
            assert own.max() <= 2
            assert (own.max(axis=0) - own.min(axis=0)).max() <= 2 + 1e-6
        else:
            # At most six away from the mean, or six deviations of 1 or 0.3.
            unit = {"centred": 1, "standard": 1, "log": 0.3}[part.kind]
            assert np.abs(own).max() <= 6 * unit + 1e-6


def test_offline_and_online_agree_bit_for_bit_for_every_client(home: Home) -> None:
    store = ProfileStore(home)
    snapshot = Snapshot.read(newest_version(home).snapshot_path(LAST))
    entities = pd.DataFrame({"client_id": snapshot.client_ids, "event_timestamp": LAST})
    offline = store.training_set(entities)
    assert offline.known.all()
    online = store.lookup_many(snapshot.client_ids)
    assert all(profile.known and profile.cutoff == LAST for profile in online)
    stacked = np.stack([profile.vector for profile in online])
    assert stacked.dtype == offline.X.dtype == np.float32
    assert stacked.tobytes() == offline.X.tobytes() == snapshot.vectors.tobytes()
    assert store.lookup(int(snapshot.client_ids[3])).vector.tobytes() == offline.X[3].tobytes()


def test_training_set_keeps_order_and_labels_and_travels_in_time(home: Home) -> None:
    version = newest_version(home)
    by_cutoff = {cutoff: Snapshot.read(version.snapshot_path(cutoff)) for cutoff in (FIT, LATER)}
    times = [FIT, LATER - pd.Timedelta("1us"), LATER, LAST - pd.Timedelta("1us")]
    cutoffs = [FIT, FIT, LATER, LATER]
    clients = by_cutoff[FIT].client_ids[[9, 3, 60, 3]]
    entities = pd.DataFrame(
        {
            "client_id": clients,
            "event_timestamp": times,
            "label": [7, 8, 9, 10],
            "why": list("abcd"),
        }
    )
    result = ProfileStore(home).training_set(entities)
    pd.testing.assert_frame_equal(result.entities, entities)
    for row, (client, cutoff) in enumerate(zip(clients, cutoffs, strict=True)):
        snapshot = by_cutoff[cutoff]
        expected = snapshot.vectors[np.searchsorted(snapshot.client_ids, client)]
        assert result.X[row].tobytes() == expected.tobytes()


def test_unknown_and_too_old_get_the_mean_profile(home: Home) -> None:
    store = ProfileStore(home)
    stranger = store.lookup(10**12)
    assert not stranger.known
    assert stranger.cutoff is None
    assert np.array_equal(stranger.vector, store.version.mean)
    entities = pd.DataFrame(
        {"client_id": [10**12, 1, 1], "event_timestamp": [LAST, FIT - pd.Timedelta("1us"), FIT]}
    )
    with pytest.warns(FutureModelWarning):
        result = store.training_set(entities)
    assert result.known.tolist() == [False, False, True]
    assert np.array_equal(result.X[:2], np.stack([store.version.mean] * 2))


def test_a_training_row_older_than_what_its_models_learned_from_causes_a_warning(
    home: Home,
) -> None:
    store = ProfileStore(home)
    early = pd.DataFrame({"client_id": [1, 2], "event_timestamp": [FIT - pd.Timedelta("1s"), FIT]})
    with pytest.warns(FutureModelWarning, match="1 of 2 rows are from before 2022-07-01"):
        store.training_set(early)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureModelWarning)
        store.training_set(early.tail(1))


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ({"client": [1], "event_timestamp": [LAST]}, "lack the column client_id"),
        ({"client_id": ["a"], "event_timestamp": [LAST]}, "must be integers"),
        ({"client_id": [1], "event_timestamp": ["soon"]}, "cannot be read"),
        ({"client_id": [1], "event_timestamp": [None]}, "present in every row"),
        ({"client_id": [1], "event_timestamp": [1_654_077_600]}, "must be times, not numbers"),
        ({"client_id": np.array([2**63], np.uint64), "event_timestamp": [LAST]}, "64 bits"),
    ],
)
def test_training_set_refuses_bad_entities(home: Home, entities: dict, message: str) -> None:
    with pytest.raises(UBPError, match=message):
        ProfileStore(home).training_set(pd.DataFrame(entities))


def test_no_rows_are_a_training_set_too(home: Home) -> None:
    entities = pd.DataFrame({"client_id": [1], "event_timestamp": [LAST]}).head(0)
    store = ProfileStore(home)
    assert store.training_set(entities).X.shape == (0, store.width)
    assert store.lookup_many([]) == []


def test_no_event_price_or_category_from_a_cutoff_on_reaches_a_model_or_a_feature(
    home: Home, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """The same job on a log that ends at the cutoff gives the same profiles, bit for bit."""
    past = {
        name: frame[frame["timestamp"] < FIT.replace(tzinfo=None)]
        if "timestamp" in frame
        else frame
        for name, frame in tables.items()
    }
    other = Home(home=tmp_path / "home")
    ingest(other, str(deliver(tmp_path / "delivery", **past)))
    train(other, block_names(), FIT)
    whole = Snapshot.read(newest_version(home).snapshot_path(FIT))
    ended = Snapshot.read(newest_version(other).snapshot_path(FIT))
    assert whole.client_ids.tobytes() == ended.client_ids.tobytes()
    assert whole.vectors.tobytes() == ended.vectors.tobytes()


def test_training_again_fits_nothing_again(home: Home) -> None:
    before = newest_version(home).name
    again = train(home, block_names(), FIT)
    assert not again.fitted
    assert {fitted.name for fitted in again.reused} == set(block_names())
    assert again.profile.name == before


def test_an_interrupted_fit_is_kept_but_not_used_as_complete(
    landed_home: Home,
) -> None:
    opened: list[str] = []

    @contextmanager
    def interrupt_in_second_epoch(title: str, total: float | None, unit: str) -> Iterator:
        opened.append(title)
        if len(opened) == 2:
            raise KeyboardInterrupt
        yield lambda amount: None

    name = "gru_ae_day_event_type"
    (first,) = train(landed_home, [name], FIT, progress=interrupt_in_second_epoch).fitted
    assert "interrupted after epoch 1 of 2; the best epoch (1) is kept" in first.report.note
    (second,) = train(landed_home, [name], FIT).fitted
    assert (first.version, second.version) == ("v1", "v2")
    assert not second.report.note
    assert train(landed_home, [name], FIT).reused[0].version == "v2"


def test_publishing_again_changes_nothing(home: Home) -> None:
    before = ProfileStore(home).lookup(5)
    served = publish(home)
    after = ProfileStore(home).lookup(5)
    assert served.version == before.version
    assert before.vector.tobytes() == after.vector.tobytes()


def test_blocks_without_events_are_left_out_and_reported(tmp_path: Path) -> None:
    shop = random_shop(clients=30, events=200)
    home = Home(home=tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "delivery", page_visit=shop["page_visit"])))
    result = train(home, profile="paper")
    assert "no product_buy or add_to_cart events" in result.unavailable["ials_categories"]
    assert "ials_categories" not in [part.block for part in result.profile.parts]
    with pytest.raises(BlockUnavailable, match="ials_categories: no product_buy"):
        train(home, ["ials_categories"])


def feast(said: Path, *arguments: str) -> None:
    """Run Feast's command line; its output goes to a file."""
    with said.open("w") as file, redirect_stdout(file):
        feast_cli(arguments)


def test_feast_sees_the_repo(home: Home, tmp_path: Path) -> None:
    """Feast's own command line works in feature_repo/."""
    configuration = home.feast / "feature_store.yaml"
    place = ("-c", str(PROJECT_ROOT / "feature_repo"), "-f", str(configuration))
    said = tmp_path / "said.txt"
    assert exit_code(feast, said, *place, "feature-views", "list") == 0
    for name in (*block_names(), "profile_v1"):
        assert name in said.read_text()
    # In a process of its own, where only Feast imports our code.
    program = Path(sys.executable).with_name("feast")
    applied = subprocess.run(
        [program, *place, "apply"],
        capture_output=True,
        text=True,
        env={**os.environ, "UBP_HOME": str(home.root)},
    )
    assert applied.returncode == 0, applied.stderr
    assert ProfileStore(home).lookup(5).known


def test_status_and_commands(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_HOME", str(home.root))
    found = json.loads(run_ubp(capsys, "status", "--json").out)
    assert set(found) >= {"warehouse", "quarantine", "blocks", "profiles", "served"}
    for block in found["blocks"]:
        assert set(block) >= {"name", "version", "cutoffs", "clients", "width"}
        assert len(block["cutoffs"]) == 3
    assert found["served"]["version"] == "v1"
    assert found["next"] == "ubp refresh && ubp publish"
    found = json.loads(run_ubp(capsys, "profile", "5", "--json").out)
    assert found["known"]
    assert np.array_equal(
        np.array(found["vector"], np.float32), ProfileStore(home).lookup(5).vector
    )
    entities = tmp_path / "entities.parquet"
    frame = pd.DataFrame({"client_id": [5, 10**12], "event_timestamp": [LAST] * 2, "y": [1, 0]})
    frame.to_parquet(entities)
    outcome = run_ubp(capsys, "training-set", entities, tmp_path / "out.parquet")
    assert "2 rows, 1 with a profile of their own" in outcome.out
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["y"].to_pylist() == [1, 0]
    assert written["known"].to_pylist() == [True, False]
    assert np.array_equal(np.array(written["profile"][0].as_py(), np.float32), found["vector"])


def test_a_training_set_that_cannot_be_written_leaves_nothing(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entities, out, folder = (tmp_path / name for name in ("in.parquet", "out.parquet", "folder"))
    pd.DataFrame({"client_id": [5], "event_timestamp": [LAST]}).to_parquet(entities)
    folder.mkdir()
    refused = run_ubp(capsys, "training-set", entities, folder, "--home", home.root)
    assert (refused.code, f"{folder} is a directory: name the file" in refused.err) == (2, True), (
        refused.err
    )
    assert sorted(tmp_path.iterdir()) == [folder, entities]

    def break_off(table: object, path: Path, **options: object) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(pq, "write_table", break_off)
    broken = run_ubp(capsys, "training-set", entities, out, "--home", home.root)
    assert (broken.code, f"cannot write {out}: the disk is broken" in broken.err) == (2, True)
    assert sorted(tmp_path.iterdir()) == [folder, entities]


@pytest.mark.parametrize("client", [7.5, "7", None])
def test_a_client_id_is_an_integer(home: Home, client: object) -> None:
    with pytest.raises(UBPError, match="client ids of this shop are integers"):
        ProfileStore(home).lookup(client)  # type: ignore[arg-type]


def test_cutoffs_without_events_are_refused(home: Home) -> None:
    for cutoff in (day("2150-01-01"), day("2024-01-01"), day("1999-01-01")):
        with pytest.raises(UBPError, match=r"too late|no event is before"):
            train(home, cutoff=cutoff)
        with pytest.raises(UBPError, match=r"too late|no event is before"):
            encode(home, [cutoff])


def test_joins_on_keys_first_equal_those_of_feast(home: Home) -> None:
    """The same answers as Feast's own DuckDB store, for a list column and for named features."""
    ours = FeatureStore(config=repo_config(home))
    theirs = FeatureStore(fs_yaml_file=home.feast / "feature_store.yaml")
    assert ours.config.offline_store.type != theirs.config.offline_store.type
    rng = np.random.default_rng(0)
    entities = pd.DataFrame(
        {
            "client_id": rng.integers(0, 100, 500),
            "event_timestamp": FIT + pd.to_timedelta(rng.integers(-3, 30, 500), "D"),
            "row": np.arange(500),
        }
    )
    features = ["profile_v1:embedding", "handcrafted:buy_total", "handcrafted:price_mean"]
    for names in (False, True):
        found = [
            store.get_historical_features(entities, features, full_feature_names=names)
            .to_arrow()
            .sort_by("row")
            for store in (ours, theirs)
        ]
        assert found[0].column_names == found[1].column_names
        assert found[0].equals(found[1])
        assert 0 < found[0][found[0].column_names[-1]].null_count < 500
