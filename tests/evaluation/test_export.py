"""The files of `ubp export`: valid for the challenge, and made from the input only."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipelines.evaluate import evaluate
from pipelines.export import Exported, export
from pipelines.ingest import ingest
from tests.evaluation.exported import (
    BLOCKS,
    ENTRIES,
    Tables,
    assert_valid,
    load,
    make_shop,
    open_shop,
    organisers_split,
)
from tests.pipelines.deliveries import as_text
from tests.pipelines.landed import events
from tests.shops import plant_future
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.embeddings import read_embeddings
from ubp_platform.evaluation.export import appearing, write_embeddings
from ubp_platform.evaluation.tasks import Targets
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse

TASKS = ("propensity_category", "propensity_sku", "propensity_price", "propensity_new_sku")


def assert_same_rows(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare rows in any order."""
    columns = list(expected.columns)
    assert list(found.columns) == columns
    found, expected = (
        frame.astype({"timestamp": "datetime64[us]"} if "timestamp" in columns else {}).sort_values(
            columns, ignore_index=True
        )
        for frame in (found, expected)
    )
    pd.testing.assert_frame_equal(found, expected)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return make_shop()


@pytest.fixture(scope="module")
def shop(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return open_shop(tmp_path_factory.mktemp("shop"), tables)


@pytest.fixture(scope="module")
def exported(shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(shop, tmp_path_factory.mktemp("export") / "out", blocks=BLOCKS)


@pytest.fixture(scope="module")
def out(exported: Exported) -> Path:
    return exported.directory


def test_embeddings_obey_the_rules_of_the_challenge(out: Path, tables: Tables) -> None:
    assert_valid(out)
    start, _, _ = organisers_split(tables)
    before = [frame[frame["timestamp"] < start] for name, frame in only_events(tables)]
    # All with an event in the input, ascending.
    clients = np.unique(np.concatenate([frame["client_id"] for frame in before]))
    np.testing.assert_array_equal(load(out / "client_ids.npy"), clients)


def only_events(tables: Tables) -> list[tuple[str, pd.DataFrame]]:
    return [(name, tables[name]) for name in EVENT_TYPES]


def test_everything_is_there_and_loads_without_pickle(out: Path, exported: Exported) -> None:
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    classes = [f"target/{prefix}{name}.npy" for name in TASKS for prefix in ("", "popularity_")]
    assert files == {
        *(name for name in ENTRIES if "." in name),
        *(f"input/{name}.parquet" for name in EVENT_TYPES),
        "input/relevant_clients.npy",
        "target/active_clients.npy",
        "target/train_target.parquet",
        "target/validation_target.parquet",
        *classes,
    }
    assert {file.name for file in exported.files} == files
    for name in files:
        if name.endswith(".npy"):
            assert load(out / name).dtype in (np.int64, np.float16, np.float64)
        else:
            pd.read_parquet(out / name)


def test_the_input_holds_the_events_before_the_windows(out: Path, tables: Tables) -> None:
    start, _, _ = organisers_split(tables)
    for name, frame in only_events(tables):
        before = frame[frame["timestamp"] < start]
        if "query" in before:
            before = before.assign(query=before["query"].map(as_text))
        found = pd.read_parquet(out / f"input/{name}.parquet")
        assert pd.to_datetime(found["timestamp"]).max() < start
        assert_same_rows(found, before)


def test_the_windows_are_those_of_the_organisers(out: Path, tables: Tables) -> None:
    start, middle, end = organisers_split(tables)
    bought, products = tables["product_buy"], tables["product_properties"]
    properties = products.assign(name=products["name"].map(as_text)).set_index("sku")
    when = bought["timestamp"]
    for name, rows in {
        "train_target": (when >= start) & (when < middle),
        "validation_target": (when >= middle) & (when <= end),
    }.items():
        found = pd.read_parquet(out / f"target/{name}.parquet")
        assert found["category"].isna().any(), "products without properties are not lost"
        in_order = found.sort_values(["client_id", "timestamp", "sku"], kind="stable")
        assert in_order.index.equals(found.index), "the same input gives the same file"
        expected = bought[rows].join(properties, on="sku")
        assert_same_rows(*(frame.fillna({"name": "none"}) for frame in (found, expected)))
    assert found["timestamp"].max() == end


def test_names_and_queries_are_what_the_organisers_parse(out: Path) -> None:
    for path, column in (
        ("product_properties.parquet", "name"),
        ("input/search_query.parquet", "query"),
        ("target/train_target.parquet", "name"),
    ):
        texts = pd.read_parquet(out / path)[column].dropna()
        assert texts.str.fullmatch(r"\[( *\d* *)*\]").all()
        assert (texts.str.strip("[]").str.split().map(len) == 16).all()


def test_products_and_active_clients(out: Path, tables: Tables) -> None:
    products = tables["product_properties"]
    expected = products.assign(name=products["name"].map(as_text))
    assert_same_rows(pd.read_parquet(out / "product_properties.parquet"), expected)
    start, _, _ = organisers_split(tables)
    bought = tables["product_buy"]
    buyers = bought.loc[bought["timestamp"] < start, "client_id"].unique()
    active = load(out / "target/active_clients.npy")
    assert active.dtype == np.int64
    assert 0 < len(active) < len(load(out / "client_ids.npy"))
    np.testing.assert_array_equal(active, np.sort(buyers))


def test_classes_are_most_bought_first(out: Path, tables: Tables) -> None:
    start, middle, _ = organisers_split(tables)
    bought = tables["product_buy"].merge(tables["product_properties"], how="left")
    window = bought[(bought["timestamp"] >= start) & (bought["timestamp"] < middle)]
    for task, column in {"propensity_category": "category", "propensity_sku": "sku"}.items():
        values, popularity = (
            load(out / f"target/{prefix}{task}.npy") for prefix in ("", "popularity_")
        )
        assert (values.dtype, popularity.dtype) == (np.int64, np.float64)
        assert values.shape == popularity.shape
        counts = window[column].value_counts()
        np.testing.assert_array_equal(counts[values], popularity)
        assert (counts.drop(values) <= popularity.min()).all()
        assert (np.diff(popularity) <= 0).all()


def organisers_labels(directory: Path, task: str, window: str) -> tuple[np.ndarray, np.ndarray]:
    """Label clients like the organisers' target_calculators.py, from the files only."""
    target = pd.read_parquet(directory / f"target/{window}_target.parquet")
    clients = load(directory / "client_ids.npy")
    if task == "churn":
        clients = clients[np.isin(clients, load(directory / "target/active_clients.npy"))]
    labels = []
    for client in clients:
        bought = target.loc[target["client_id"] == client]
        if task in TASKS:
            values = bought[task.split("_")[-1]].unique()
            classes = load(directory / f"target/{task}.npy")
            labels.append(np.isin(classes, values, assume_unique=True))
        else:
            labels.append(np.array([bought.empty]))
    return clients, np.stack(labels)


@pytest.mark.parametrize("name", ["churn", "conversion", *TASKS])
def test_the_organisers_read_our_tasks_from_it(
    shop: Home, exported: Exported, out: Path, name: str
) -> None:
    with Warehouse(shop.warehouse) as warehouse:
        task = Targets(warehouse, exported.tested.split, load(out / "client_ids.npy")).task(name)
    for window, ours in {"train": task.train, "validation": task.validation}.items():
        clients, labels = organisers_labels(out, name, window)
        np.testing.assert_array_equal(clients, load(out / "client_ids.npy")[task.rows])
        np.testing.assert_array_equal(labels, ours)
        assert 0 < labels.sum() < labels.size


def test_a_task_without_classes_is_left_out_and_told(tmp_path: Path, tables: Tables) -> None:
    one_category = tables["product_properties"].assign(category=3)
    home = open_shop(tmp_path, {**tables, "product_properties": one_category})
    done = export(home, tmp_path / "out", blocks=["handcrafted"])
    assert set(done.unavailable_tasks) == {"propensity_category"}
    assert "it has 1 of the two classes" in done.unavailable_tasks["propensity_category"]
    assert not list((tmp_path / "out").rglob("*category.npy"))
    assert (tmp_path / "out/target/propensity_sku.npy").exists()


def test_what_was_exported_can_be_ingested(tables: Tables, tmp_path: Path) -> None:
    home = open_shop(tmp_path, {n: t for n, t in tables.items() if n != "remove_from_cart"})
    out = export(home, tmp_path / "out", blocks=["handcrafted"]).directory
    again = Home(home=tmp_path / "again")
    for directory in (out, out / "input"):
        assert not sum(file.quarantined for file in ingest(again, str(directory)).files)
    start, _, _ = organisers_split(tables)
    for name in EVENT_TYPES:
        assert events(again, name) == [row for row in events(home, name) if row[1] < start]
    assert events(again, "product_properties") == events(home, "product_properties")


def test_later_events_change_nothing(out: Path, tables: Tables, tmp_path: Path) -> None:
    start, _, _ = organisers_split(tables)
    home = open_shop(tmp_path, plant_future(tables, start))
    export(home, tmp_path / "planted", blocks=BLOCKS)
    for name in ("client_ids.npy", "embeddings.npy", "input/relevant_clients.npy"):
        assert (tmp_path / "planted" / name).read_bytes() == (out / name).read_bytes()
    for name in EVENT_TYPES:
        found, expected = (
            pd.read_parquet(directory / f"input/{name}.parquet")
            for directory in (tmp_path / "planted", out)
        )
        assert_same_rows(found, expected)
    # They are in the window, where they belong.
    assert len(pd.read_parquet(tmp_path / "planted/target/train_target.parquet")) > 500


@settings(max_examples=5, deadline=None)
@given(present=st.sets(st.sampled_from(EVENT_TYPES[1:])))
def test_event_types_may_be_empty(out: Path, tables: Tables, present: set[str]) -> None:
    kept = {"product_properties", "product_buy", *present}
    with tempfile.TemporaryDirectory() as temporary:
        home = open_shop(Path(temporary), {n: t for n, t in tables.items() if n in kept})
        directory = export(home, Path(temporary) / "out", blocks=["handcrafted"]).directory
        assert_valid(directory)
        for name in EVENT_TYPES:
            found, full = (pq.read_table(d / f"input/{name}.parquet") for d in (directory, out))
            assert found.schema.names == full.schema.names
            assert found.schema.types == full.schema.types
            assert found.num_rows == (full.num_rows if name in kept else 0)


@settings(max_examples=8, deadline=None)
@given(
    known=st.lists(st.integers(1, 60), unique=True, max_size=20),
    unknown=st.lists(st.integers(61, 2**63 - 1) | st.integers(-(2**63), 0), unique=True),
    random=st.randoms(use_true_random=False),
    parquet=st.booleans(),
)
def test_listed_clients_keep_their_order(
    shop: Home,
    exported: Exported,
    known: list[int],
    unknown: list[int],
    random: object,
    parquet: bool,
) -> None:
    ids = [*known, *unknown] or [5]
    random.shuffle(ids)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / ("some.parquet" if parquet else "some.npy")
        listed = np.array(ids, dtype=np.int64)
        if parquet:
            pq.write_table(pa.table({"client_id": listed}), path)
        else:
            np.save(path, listed)
        done = export(shop, Path(temporary) / "out", blocks=BLOCKS, clients=path)
        assert_valid(done.directory)
        for name in ("client_ids.npy", "input/relevant_clients.npy"):
            np.testing.assert_array_equal(load(done.directory / name), listed)
        _, vectors = read_embeddings(done.directory, listed)
        active = load(done.directory / "target/active_clients.npy")
    of_all = dict(zip(*read_embeddings(exported.directory), strict=True))
    mean = exported.tested.version.mean.astype(np.float16)
    for client, vector in zip(ids, vectors, strict=True):
        np.testing.assert_array_equal(vector, of_all.get(client, mean))
    buyers = load(exported.directory / "target/active_clients.npy")
    np.testing.assert_array_equal(active, listed[np.isin(listed, buyers)])
    assert done.tested.unknown == len(set(ids) - set(of_all))


def test_given_classes_are_handed_on(shop: Home, out: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    np.save(given / "propensity_sku.npy", np.array([30, 10, 20], np.int32))
    np.save(given / "popularity_propensity_sku.npy", np.array([1, 3, 2]))
    done = export(shop, tmp_path / "out", blocks=BLOCKS, classes=given)
    target = done.directory / "target"
    np.testing.assert_array_equal(load(target / "propensity_sku.npy"), [30, 10, 20])
    assert load(target / "propensity_sku.npy").dtype == np.int64
    assert load(target / "popularity_propensity_sku.npy").dtype == np.float64
    name = "propensity_category.npy"
    assert (target / name).read_bytes() == (out / "target" / name).read_bytes()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    vectors=npst.arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(width=32)
    )
)
def test_embeddings_are_held_by_float16_or_refused(tmp_path: Path, vectors: np.ndarray) -> None:
    clients = np.arange(len(vectors))[::-1] * 2**40
    with np.errstate(over="ignore"):
        expected = vectors.astype(np.float16)
    if np.isfinite(expected).all():
        write_embeddings(tmp_path, clients, vectors)
        found = read_embeddings(tmp_path)
        np.testing.assert_array_equal(found[0], clients)
        np.testing.assert_array_equal(found[1], expected)
        assert np.load(tmp_path / "embeddings.npy", mmap_mode="r").shape == vectors.shape
    else:
        with pytest.raises(UBPError, match="exceeds the range of float16, which ends at 65,504"):
            write_embeddings(tmp_path, clients, vectors)


def test_the_widest_embeddings(tmp_path: Path) -> None:
    with appearing(tmp_path / "wide") as directory:
        write_embeddings(directory, np.arange(2), np.ones((2, 2048), np.float16))
        (directory / "input").mkdir()
    assert read_embeddings(tmp_path / "wide")[1].shape == (2, 2048)
    with (
        pytest.raises(UBPError, match="2,049 numbers, and the challenge accepts at most 2,048"),
        appearing(tmp_path / "wider") as directory,
    ):
        write_embeddings(directory, np.arange(2), np.ones((2, 2049), np.float16))
    assert [path.name for path in tmp_path.iterdir()] == ["wide"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks as tiny as these mostly wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread", "thin")
def test_exported_embeddings_score_as_the_profile_does(shop: Home, out: Path) -> None:
    def fresh(*tasks: str, **options: object) -> dict[tuple[str, str], object]:
        shutil.rmtree(shop.evaluation / "scores", ignore_errors=True)
        scores = evaluate(shop, tasks=tasks, **options).scores
        assert not scores.reused
        return {(result.representation, result.task): result.epochs for result in scores.results}

    tasks = ("churn", "propensity_price", "propensity_new_sku")
    of_home, of_files = fresh(*tasks, blocks=BLOCKS), fresh(*tasks, embeddings=out)
    for task in tasks:
        assert of_files[f"{out.name}/", task] == of_home["profile", task]
        # The same vectors twice in one evaluation, fitted separately.
        assert of_files[f"{out.name}/", task] == of_files["profile", task]


def test_the_first_numbers_alone(shop: Home, tmp_path: Path) -> None:
    export(shop, tmp_path / "whole", blocks=BLOCKS)
    export(shop, tmp_path / "short", blocks=BLOCKS, width=3)
    whole, short = (np.load(tmp_path / name / "embeddings.npy") for name in ("whole", "short"))
    np.testing.assert_array_equal(short, whole[:, :3])
    with pytest.raises(UBPError, match="a width of 5000 is not available"):
        export(shop, tmp_path / "wide", blocks=BLOCKS, width=5000)
    assert not (tmp_path / "wide").exists()
