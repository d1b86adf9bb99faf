"""The simulator's files: complete, reproducible, written in chunks, and fit to be ingested."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.ingest import ingest
from tests.pipelines.commands import run_ubp
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import EVENT_TYPES, EVENTS, TABLES
from ubp_platform.home import Home
from ubp_platform.layouts import RELEVANT_CLIENTS
from ubp_platform.simulation.catalogue import draw_catalogue
from ubp_platform.simulation.challenge import LogPlan, plan
from ubp_platform.simulation.shop import Shop
from ubp_platform.simulation.simulator import (
    END,
    as_arrow,
    chunk_clients,
    simulate,
    simulate_chunk,
)

LAST = pd.Timestamp(END).tz_localize(None)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module", params=["default", "challenge"])
def planned(request: pytest.FixtureRequest) -> LogPlan:
    return LogPlan(200, 30) if request.param == "default" else plan("challenge", 0.0001)


@pytest.fixture(scope="module")
def delivery(planned: LogPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("simulated") / "delivery"
    simulate(directory, **vars(planned), seed=5)
    return directory


def test_the_seed_determines_the_bytes(delivery: Path, planned: LogPlan, tmp_path: Path) -> None:
    simulate(tmp_path / "again", **vars(planned), seed=5)
    assert contents(tmp_path / "again") == contents(delivery)
    simulate(tmp_path / "other", **vars(planned), seed=6)
    others = contents(tmp_path / "other")
    assert others.keys() == contents(delivery).keys()
    assert not any(others[name] == data for name, data in contents(delivery).items())


def test_a_delivery_lands_completely(delivery: Path, tmp_path: Path) -> None:
    result = ingest(Home(home=tmp_path / "home"), str(delivery))
    assert [file.table for file in result.files] == ["product_properties", *EVENT_TYPES]
    assert all(file.landed == file.read > 0 for file in result.files)
    assert not any(file.quarantined for file in result.files)
    assert result.notes[0] == "recognised the layout 'challenge' by files and columns"
    decided = result.notes[1]
    assert "url: whole numbers; price: buckets of 0–99" in decided
    assert decided.endswith("name, query: lists of codes")


def test_the_smallest_shop_lands_too(tmp_path: Path) -> None:
    directory = tmp_path / "delivery"
    simulate(directory, clients=1, days=1)
    result = ingest(Home(home=tmp_path / "home"), str(directory))
    assert {file.table for file in result.files} == set(TABLES)
    assert not any(file.quarantined for file in result.files)


def test_times_and_ids(delivery: Path, planned: LogPlan) -> None:
    products = pq.read_table(delivery / "product_properties.parquet").to_pandas()
    assert products["sku"].is_unique
    assert products["price"].value_counts().between(1, len(products) / 100 + 1).all()
    for table in EVENTS:
        frame = pq.read_table(delivery / f"{table.name}.parquet").to_pandas()
        assert list(frame.columns) == list(table.columns)
        first = LAST - pd.Timedelta(days=planned.days)
        assert frame["timestamp"].between(first, LAST, inclusive="left").all()
        assert (frame["timestamp"] == frame["timestamp"].dt.floor("s")).all()
        assert frame["client_id"].between(1, planned.clients).all()
        assert frame.equals(frame.sort_values(["client_id", "timestamp"], kind="stable"))
        if "sku" in frame:
            assert frame["sku"].isin(products["sku"]).all()
    assert frame["timestamp"].max() > LAST - pd.Timedelta("2D")


def test_every_chunk_is_an_independent_row_group(tmp_path: Path) -> None:
    clients, days, seed, shop = 500, 1000, 3, Shop()
    size = chunk_clients(shop, days)
    assert size < clients < 2 * size
    simulate(tmp_path, clients, days, seed)
    catalogue = draw_catalogue(shop, clients, days, np.random.default_rng([seed, 0]))
    second = simulate_chunk(catalogue, np.arange(size, clients) + 1, seed, chunk=1)
    for table in EVENTS:
        file = pq.ParquetFile(tmp_path / f"{table.name}.parquet")
        assert file.num_row_groups == 2
        assert file.read_row_group(1).equals(as_arrow(table, second[table.name], days))
        assert file.read_row_group(0)["client_id"].to_numpy().max() <= size


def test_a_longer_log_is_drawn_in_smaller_chunks() -> None:
    assert chunk_clients(Shop(), 1) > 20 * chunk_clients(Shop(), 100)
    assert chunk_clients(Shop(sessions_a_day=1e9), 3650) == 1


def test_sizes_grow_more_slowly_than_the_clients() -> None:
    shop, sizes = Shop(), [10**power for power in range(9)]
    for count in (shop.products, shop.categories):
        counts = np.array([count(size) for size in sizes])
        assert (np.diff(counts) >= 0).all()
        assert (np.diff(np.log10(counts)) < 0.7).all()
    assert all(shop.products(size) >= 3 * shop.categories(size) for size in sizes)


def test_other_parameters_make_another_shop(tmp_path: Path) -> None:
    shop = Shop(sessions_a_day=0.05, searchers=0, searching=(0, 0))
    files = {file.path.stem: file for file in simulate(tmp_path, 300, 60, shop=shop)}
    assert files["search_query"].rows == 0
    assert files["page_visit"].rows < 300 * 60 * 0.1 * 10
    assert files["page_visit"].clients == 300


@pytest.mark.parametrize("name", ["page_visit.csv", "product_properties.parquet", RELEVANT_CLIENTS])
def test_files_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("precious")
    outcome = run_ubp(capsys, "simulate", tmp_path, "--like", "challenge", "--scale", 0.0001)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert f"already contains {name}: name another directory" in outcome.err
    assert contents(tmp_path) == {name: b"precious"}


def test_a_file_instead_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UBPError, match="is a file; name a directory"):
        simulate(tmp_path / "file", 10, 10)


@pytest.mark.parametrize(
    "numbers", [{"clients": 0}, {"days": 0}, {"days": 3651}, {"seed": -1}], ids=str
)
def test_numbers_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], numbers: dict[str, int]
) -> None:
    with pytest.raises(UBPError, match=rf"not {next(iter(numbers.values()))}$"):
        simulate(tmp_path / "new", **({"clients": 10, "days": 10} | numbers))
    ((name, value),) = numbers.items()
    outcome = run_ubp(capsys, "simulate", tmp_path / "new", f"--{name}", value)
    assert outcome.code == 2
    assert f"--{name}" in outcome.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_nothing(
    planned: LogPlan, tmp_path: Path, error: type[BaseException]
) -> None:
    @contextmanager
    def interrupt(description: str, total: float | None, unit: str) -> Iterator:
        def advance(amount: float) -> None:
            raise error

        yield advance

    with pytest.raises(error):
        simulate(tmp_path, **vars(planned), progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_the_command_shows_its_files_and_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "my shop"
    outcome = run_ubp(capsys, "simulate", directory, "--clients", 50, "--days", 20, "--seed", 1)
    assert outcome.code == 0, outcome.err
    for name in TABLES:
        rows = pq.read_metadata(directory / f"{name}.parquet").num_rows
        assert f"{name}.parquet" in outcome.out
        assert f"{rows:,}" in outcome.out
    assert f"ubp ingest '{directory}'" in outcome.out
    assert [path.suffix for path in directory.iterdir()] == [".parquet"] * len(TABLES)
