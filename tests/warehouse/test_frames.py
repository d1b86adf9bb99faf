"""Histories of DataFrames and Parquet files equal those of a warehouse."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.blocks.contract import CUTOFF, BlockContract
from tests.shops import land, plant_future, random_shop
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import TABLES
from ubp_platform.warehouse import History

DAY = pd.Timestamp(CUTOFF).tz_localize(None)
SHOP = random_shop(seed=1, clients=20, events=80)


def parquet(directory: Path, tables: dict[str, pd.DataFrame]) -> dict[str, Path]:
    for name, frame in tables.items():
        frame.to_parquet(directory / f"{name}.parquet")
    return {name: directory / f"{name}.parquet" for name in tables}


@pytest.mark.parametrize("form", ["pandas", "arrow", "parquet"])
def test_a_block_fits_and_encodes_as_on_a_warehouse(form: str, tmp_path: Path) -> None:
    tables = plant_future(SHOP, DAY)
    # Frames have one row for each product.
    tables["product_properties"] = tables["product_properties"].drop_duplicates("sku")
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        block = Handcrafted().fit(warehouse.history(CUTOFF))
        snapshot = block.encode(warehouse.history(CUTOFF))
    frames = {
        "pandas": lambda: tables,
        "arrow": lambda: {k: pa.Table.from_pandas(v) for k, v in tables.items()},
        "parquet": lambda: parquet(tmp_path, tables),
    }[form]()
    history = History.of(frames, cutoff=f"{CUTOFF:%Y-%m-%d}")
    again = Handcrafted().fit(history)
    BlockContract.assert_same_fit(again, block)
    BlockContract.assert_same_snapshot(again.encode(history), snapshot)


def test_cutoffs_and_clients(tmp_path: Path) -> None:
    for cutoff in ("2022-07-16", pd.Timestamp("2022-07-16"), "2022-07-16T02:00+02:00"):
        history = History.of(SHOP, cutoff)
        assert history.cutoff == CUTOFF
    before = (SHOP["page_visit"]["timestamp"] < DAY).sum()
    assert history.counts["page_visit"] == before
    assert History.of(SHOP, CUTOFF, np.array([3, 4])).clients.tolist() == [3, 4]


def test_zoned_times_keep_their_instant() -> None:
    visits = SHOP["page_visit"]
    berlin = visits["timestamp"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    ours, theirs = (
        History.of({"page_visit": frame}, CUTOFF).query("FROM event ORDER BY ALL")
        for frame in (visits, visits.assign(timestamp=berlin))
    )
    assert ours.equals(theirs)


def test_several_files_by_a_pattern(tmp_path: Path) -> None:
    visits = SHOP["page_visit"]
    for part in range(2):
        visits[part::2].to_parquet(tmp_path / f"{part}.parquet")
    history = History.of({"page_visit": tmp_path / "*.parquet"}, "2030-01-01")
    assert history.counts["page_visit"] == len(visits)


def no_buys(**columns: object) -> dict[str, pd.DataFrame]:
    frame = {"client_id": [1], "timestamp": [DAY], "sku": [1]}
    return {"product_buy": pd.DataFrame({**frame, **columns})}


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"purchases": SHOP["product_buy"]}, "no table 'purchases'; there are product_buy, "),
        ({"product_buy": SHOP["page_visit"]}, "product_buy: the column sku is missing; there are"),
        ({"product_buy": Path("none.parquet")}, r"product_buy: .*none\.parquet"),
        (SHOP["product_buy"], "frames must be a mapping, .* not a DataFrame"),
        ({"product_buy": None}, "product_buy is a NoneType: pass a pandas DataFrame"),
        ({"product_buy": {"client_id": [1]}}, "product_buy is a dict: pass a pandas"),
        ({"product_buy": pd.DataFrame()}, "product_buy: cannot be read: "),
        (no_buys(client_id=[1.5e18]), "client_id must be a whole number .* of type DOUBLE"),
        (no_buys(client_id=["10_17"]), "client_id must be a whole number .* of type VARCHAR"),
        (no_buys(client_id=np.array([2**63], np.uint64)), "client_id must .* in 1 rows"),
        (no_buys(sku=pd.array([None], "Int64")), "sku must be a whole number .* in 1 rows"),
        (no_buys(timestamp=["2022-01-01"]), "timestamp must be a time .* of type VARCHAR"),
        (no_buys(timestamp=[1_640_000_000]), "timestamp must be a time .* of type BIGINT"),
        (no_buys(timestamp=[pd.NaT]), "timestamp must be a time in every row; in 1 rows"),
    ],
)
def test_invalid_frames_are_refused_in_one_line(frames: object, message: str) -> None:
    with pytest.raises(UBPError, match=message) as refused:
        History.of(frames, CUTOFF)
    assert "\n" not in str(refused.value)


def test_product_properties_have_16_codes_and_each_sku_once(tmp_path: Path) -> None:
    products = SHOP["product_properties"]
    for names in ([[1] * 15], [[1] * 15 + [256]], [[1] * 15 + [-1]]):
        frame = products.head(1).assign(name=names)
        with pytest.raises(UBPError, match="name must be a list of 16 whole numbers from 0 to 255"):
            History.of({"product_properties": frame}, CUTOFF)
    with pytest.raises(UBPError, match="product_properties: sku 0 occurs more than once"):
        History.of({"product_properties": pd.concat([products, products.head(1)])}, CUTOFF)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "buys.parquet").write_text("client_id,timestamp,sku\n")
    with pytest.raises(UBPError, match=r"product_buy: .*: not a Parquet file: "):
        History.of({"product_buy": tmp_path / "buys.parquet"}, CUTOFF)


def test_without_any_table_there_are_no_events() -> None:
    history = History.of({}, CUTOFF)
    assert list(history.counts) == list(TABLES)[:5]
    assert not any(history.counts.values())
