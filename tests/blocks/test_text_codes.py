from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.shops import land
from ubp_platform.blocks.text_codes import code_features
from ubp_platform.events.schema import CODE_VALUES, CODES

LATER = datetime(2022, 7, 1, tzinfo=UTC)
NOON = pd.Timestamp("2022-06-10 12:00")


def text(**codes: int) -> np.ndarray:
    """Return 16 codes of 9, except those named ``p0`` to ``p15``."""
    made = np.full(CODES, 9, np.uint8)
    for position, code in codes.items():
        made[int(position[1:])] = code
    return made


def rows_of(ids: list[int], texts: list[np.ndarray], share: float = 1) -> pa.Table:
    return pa.table(
        {
            "id": np.repeat(ids, CODES),
            "position": np.tile(np.arange(CODES, dtype=np.int32), len(ids)),
            "code": np.concatenate(texts).astype(np.int32),
            "share": np.full(len(ids) * CODES, share, np.float32),
        }
    )


def test_indicator_rows_by_hand() -> None:
    table = rows_of([3, 5], [text(p0=0, p15=255), text()])
    features = code_features(table, np.array([3, 4, 5]), "indicators")
    assert features.shape == (3, 4096)
    nines = np.arange(CODES) * CODE_VALUES + 9
    expected = np.zeros((3, 4096), np.float32)
    expected[0, [0, *nines[1:15], 4095]] = 0.25
    expected[2, nines] = 0.25
    np.testing.assert_array_equal(features.toarray(), expected)
    np.testing.assert_allclose(np.linalg.norm(features.toarray(), axis=1), [1, 0, 1])


def test_average_rows_by_hand() -> None:
    table = rows_of([3, 3], [text(p0=0), text(p0=255)], share=0.5)
    features = code_features(table, np.array([2, 3]), "average").toarray()
    expected = np.full(CODES, 9 / 255 / 4)
    expected[0] = 0.5 / 4
    np.testing.assert_allclose(features, [np.zeros(CODES), expected], rtol=1e-6)


def test_other_ids_are_left_out() -> None:
    table = rows_of([1, 2, 9], [text(p3=1), text(), text()])
    features = code_features(table, np.array([2, 5]), "indicators")
    assert features.getnnz(axis=1).tolist() == [CODES, 0]
    assert code_features(table, np.array([], np.int64), "indicators").shape == (0, 4096)


def test_queries_of_a_client_are_shares(tmp_path: Path) -> None:
    queries = [(7, text(p0=1)), (7, text(p0=1)), (7, text(p0=2)), (8, text()), (9, text())]
    frame = pd.DataFrame(queries, columns=["client_id", "query"])
    frame["timestamp"] = [NOON] * 4 + [pd.Timestamp(LATER).tz_localize(None)]
    with land(tmp_path / "warehouse.duckdb", {"search_query": frame}) as warehouse:
        table = warehouse.history(LATER).table("query_codes", first=7, last=9)
        few = warehouse.history(LATER).table("query_codes", first=8, last=8)
    found = table.to_pandas()
    assert found["id"].tolist() == [7] * 17 + [8] * 16
    assert found[:3].values.tolist() == [
        [7, 0, 1, np.float32(2 / 3)],
        [7, 0, 2, np.float32(1 / 3)],
        [7, 1, 9, 1],
    ]
    assert set(few["id"].to_pylist()) == {8}


def test_names_are_those_of_touched_products(tmp_path: Path) -> None:
    products = pd.DataFrame({"sku": [1, 2], "category": 0, "price": 1})
    products["name"] = [text(p15=4), text()]
    bought = pd.DataFrame({"client_id": [7], "timestamp": [NOON], "sku": [1]})
    tables = {"product_properties": products, "product_buy": bought}
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        found = warehouse.history(LATER).table("product_names").to_pandas()
    assert found["id"].unique().tolist() == [1]
    assert found["position"].tolist() == list(range(CODES))
    assert found["code"].tolist() == [9] * 15 + [4]
