"""The contract of every block; the test class of a block inherits it.

class TestMyBlock(BlockContract):
    block_name = "my_block"
"""

from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.blocks.bars import Bars
from tests.shops import START, land, land_late, plant_future, random_shop, shuffle
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.encoding import encode_to_file
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known

CUTOFF_DAY = START + pd.Timedelta(days=45)
CUTOFF = CUTOFF_DAY.to_pydatetime().replace(tzinfo=UTC)
# The shop's clients are 1 to 40; the fit sees the even ones, the encoding all of them.
CLIENTS = np.arange(1, 41)
FITTED_CLIENTS = CLIENTS[1::2]
# Clients without usable events.
ONLY_OTHER_EVENTS, ONLY_AT_CUTOFF = 5000, 5001

Tables = dict[str, pd.DataFrame]


class BlockContract:
    """Inherit it as ``class TestX(BlockContract)`` and set ``block_name``."""

    block_name: ClassVar[str]
    #: Overrides of the ``small`` preset that make the block quick to fit.
    params: ClassVar[dict[str, Any]] = {}
    #: Whether a fit depends on the seed.
    learned: ClassVar[bool] = True

    @classmethod
    def new_block(cls, **params: Any) -> Block:
        return block_class(cls.block_name).from_preset("small", **{**cls.params, **params})

    @classmethod
    def fit(cls, warehouse: Warehouse, known: Known = EVERYTHING, **params: Any) -> Block:
        history = warehouse.history(CUTOFF, FITTED_CLIENTS, known=known)
        return cls.new_block(**params).fit(history)

    @pytest.fixture(scope="class")
    @classmethod
    def tables(cls) -> Tables:
        tables = random_shop(seed=3, clients=len(CLIENTS), events=400)
        needs = block_class(cls.block_name).needs
        for name in EVENT_TYPES:
            extra = tables[name].head(1)
            rows = [tables[name], extra.assign(client_id=ONLY_AT_CUTOFF, timestamp=CUTOFF_DAY)]
            if name not in needs:
                rows.append(extra.assign(client_id=ONLY_OTHER_EVENTS, timestamp=START))
            tables[name] = pd.concat(rows, ignore_index=True)
        return tables

    @pytest.fixture(scope="class")
    @classmethod
    def warehouse(
        cls, tables: Tables, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Warehouse]:
        with land(tmp_path_factory.mktemp("contract") / "warehouse.duckdb", tables) as warehouse:
            yield warehouse

    @pytest.fixture(scope="class")
    @classmethod
    def block(cls, warehouse: Warehouse) -> Block:
        return cls.fit(warehouse)

    @pytest.fixture(scope="class")
    @classmethod
    def snapshot(cls, block: Block, warehouse: Warehouse) -> Snapshot:
        return block.encode(warehouse.history(CUTOFF))

    def test_vectors_are_finite_float32_by_ascending_client(self, snapshot: Snapshot) -> None:
        assert snapshot.cutoff == CUTOFF
        assert snapshot.vectors.dtype == np.float32
        assert snapshot.vectors.shape == (len(snapshot.client_ids), snapshot.vectors.shape[1])
        assert snapshot.client_ids.dtype == np.int64
        assert (np.diff(snapshot.client_ids) > 0).all()
        assert np.isfinite(snapshot.vectors).all()
        assert len(np.unique(snapshot.vectors, axis=0)) > len(CLIENTS) / 2
        if snapshot.names is not None:
            assert len(set(snapshot.names)) == snapshot.vectors.shape[1]

    def test_report_describes_the_fit(self, block: Block) -> None:
        assert block.report_.cutoff == CUTOFF
        assert 0 < block.report_.clients <= len(FITTED_CLIENTS)
        assert block.report_.seconds >= 0

    def test_clients_of_the_fit_and_others_are_encoded(self, snapshot: Snapshot) -> None:
        assert set(CLIENTS[::2]) & set(snapshot.client_ids)
        assert set(FITTED_CLIENTS) & set(snapshot.client_ids)

    def test_relevant_clients_without_usable_events_make_it_unavailable(
        self, warehouse: Warehouse
    ) -> None:
        strangers = np.array([ONLY_OTHER_EVENTS, ONLY_AT_CUTOFF])
        with pytest.raises(BlockUnavailable, match="no relevant client has"):
            self.new_block().fit(warehouse.history(CUTOFF, strangers))

    @pytest.mark.parametrize("others", [0, 1, 6, 25])
    def test_same_vector_whoever_else_is_encoded(
        self, block: Block, warehouse: Warehouse, snapshot: Snapshot, others: int
    ) -> None:
        for position in (0, len(snapshot.client_ids) // 2, len(snapshot.client_ids) - 1):
            client = snapshot.client_ids[position]
            company = np.roll(snapshot.client_ids, -position)[: others + 1]
            some = block.encode(warehouse.history(CUTOFF, company[::-1]))
            np.testing.assert_array_equal(some.client_ids, np.sort(company))
            found = some.vectors[some.client_ids == client]
            assert found.tobytes() == snapshot.vectors[[position]].tobytes()

    def test_order_of_rows_does_not_matter(
        self, tables: Tables, block: Block, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        with land(tmp_path / "shuffled.duckdb", shuffle(tables)) as shuffled:
            self.assert_same_snapshot(block.encode(shuffled.history(CUTOFF)), snapshot)
            again = self.fit(shuffled)
            self.assert_same_fit(again, block)

    def test_rows_from_the_cutoff_on_and_rows_that_came_then_change_nothing(
        self, tables: Tables, block: Block, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        then = Known(delivered_before=CUTOFF)
        shop = plant_future(tables, CUTOFF_DAY)
        with land_late(tmp_path / "planted.duckdb", shop, CUTOFF_DAY) as planted:
            as_known = planted.history(CUTOFF, known=then)
            self.assert_same_snapshot(block.encode(as_known), snapshot)
            again = self.fit(planted, then)
            self.assert_same_fit(again, block)
            self.assert_same_snapshot(again.encode(as_known), snapshot)
            # They are not too few to matter.
            restated = block.encode(planted.history(CUTOFF))
            assert restated.vectors.tobytes() != snapshot.vectors.tobytes()

    def test_saved_and_loaded_it_gives_the_same_vectors(
        self, block: Block, warehouse: Warehouse, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        block.save(tmp_path / "block")
        assert {file.name for file in (tmp_path / "block").iterdir()} == {
            "block.json",
            "weights.safetensors",
        }
        loaded = type(block).load(tmp_path / "block")
        assert loaded.config() == block.config()
        assert loaded.report_ == block.report_
        self.assert_same_fit(loaded, block)
        self.assert_same_snapshot(loaded.encode(warehouse.history(CUTOFF)), snapshot)

    def test_same_seed_same_fit(
        self, block: Block, warehouse: Warehouse, snapshot: Snapshot
    ) -> None:
        again = self.fit(warehouse)
        self.assert_same_fit(again, block)
        self.assert_same_snapshot(again.encode(warehouse.history(CUTOFF)), snapshot)

    def test_other_seed_other_fit_where_something_is_learned(
        self, block: Block, warehouse: Warehouse
    ) -> None:
        ours, other = block.state(), self.fit(warehouse, seed=block.seed + 1).state()
        differ = any(not np.array_equal(ours[name], other[name]) for name in ours)
        assert differ == self.learned

    def test_client_without_usable_events_is_absent(self, snapshot: Snapshot) -> None:
        assert not {ONLY_OTHER_EVENTS, ONLY_AT_CUTOFF} & set(snapshot.client_ids)

    def test_no_usable_client_gives_an_empty_snapshot(
        self, block: Block, warehouse: Warehouse, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        clients = np.array([ONLY_OTHER_EVENTS, ONLY_AT_CUTOFF, 999_999])
        nobody = block.encode(warehouse.history(CUTOFF, clients))
        assert nobody.client_ids.shape == (0,)
        assert nobody.vectors.shape == (0, snapshot.vectors.shape[1])
        nobody.write(tmp_path / "empty.parquet")
        assert Snapshot.read(tmp_path / "empty.parquet").vectors.shape == nobody.vectors.shape

    def test_missing_event_types_make_it_unavailable(self, tables: Tables, tmp_path: Path) -> None:
        needs = block_class(self.block_name).needs
        others = {name: frame for name, frame in tables.items() if name not in needs}
        with (
            land(tmp_path / "others.duckdb", others) as warehouse,
            pytest.raises(BlockUnavailable, match=needs[0]),
        ):
            self.new_block().fit(warehouse.history(CUTOFF))

    def test_no_event_before_the_cutoff_makes_it_unavailable(self, warehouse: Warehouse) -> None:
        with pytest.raises(BlockUnavailable, match="before 2020-01-01"):
            self.new_block().fit(warehouse.history(CUTOFF.replace(year=2020, month=1, day=1)))

    @pytest.mark.parametrize("days", [-20, 20])
    def test_one_fit_encodes_other_cutoffs(
        self, block: Block, warehouse: Warehouse, snapshot: Snapshot, days: int
    ) -> None:
        cutoff = CUTOFF + timedelta(days=days)
        moved = block.encode(warehouse.history(cutoff))
        assert moved.cutoff == cutoff
        assert moved.vectors.shape[1] == snapshot.vectors.shape[1]
        assert np.isfinite(moved.vectors).all()
        both, here, there = np.intersect1d(
            snapshot.client_ids, moved.client_ids, return_indices=True
        )
        assert set(both) - set(FITTED_CLIENTS)
        assert not np.array_equal(snapshot.vectors[here], moved.vectors[there])
        assert (ONLY_AT_CUTOFF in moved.client_ids) == (days > 0)

    def test_slices_give_the_same_snapshot(
        self, block: Block, warehouse: Warehouse, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        history = warehouse.history(CUTOFF)
        bars = Bars()
        encode_to_file(block, history, tmp_path / "slices.parquet", progress=bars, size=17)
        sliced = Snapshot.read(tmp_path / "slices.parquet")
        assert (sliced.cutoff, sliced.names) == (snapshot.cutoff, snapshot.names)
        np.testing.assert_array_equal(sliced.client_ids, snapshot.client_ids)
        assert sliced.vectors.tobytes() == snapshot.vectors.tobytes()
        assert bars.totals == {f"{block.name}: encode": len(history.clients)}
        assert bars.advanced == pytest.approx(len(history.clients))
        # The history has all clients again.
        self.assert_same_snapshot(block.encode(history), snapshot)

    def test_snapshot_file_has_the_schema_of_the_contract(
        self, snapshot: Snapshot, tmp_path: Path
    ) -> None:
        path = tmp_path / "snapshot.parquet"
        snapshot.write(path)
        time = pa.timestamp("us", "UTC")
        names = snapshot.names
        columns = (
            [(name, pa.float32()) for name in names]
            if names
            else [("embedding", pa.list_(pa.float32()))]
        )
        expected = pa.schema(
            [
                ("client_id", pa.int64()),
                ("event_timestamp", time),
                ("created_timestamp", time),
                *columns,
            ]
        )
        table = pq.read_table(path)
        assert [(f.name, f.type) for f in table.schema] == [(f.name, f.type) for f in expected]
        assert set(table["event_timestamp"].to_pylist()) == {CUTOFF}
        self.assert_same_snapshot(Snapshot.read(path), snapshot)

    def test_history_is_not_changed(self, block: Block, warehouse: Warehouse) -> None:
        history = warehouse.history(CUTOFF, FITTED_CLIENTS)
        before = history.counts, history.vocabulary("sku").values, history.vocabulary("url").values
        first = block.encode(history)
        again = self.new_block().fit(history)
        self.assert_same_fit(again, block)
        self.assert_same_snapshot(block.encode(history), first)
        fresh = warehouse.history(CUTOFF)
        assert fresh.counts == before[0]
        np.testing.assert_array_equal(history.vocabulary("sku").values, before[1])
        np.testing.assert_array_equal(history.vocabulary("url").values, before[2])

    @staticmethod
    def assert_same_snapshot(ours: Snapshot, other: Snapshot) -> None:
        """Bit-equal, which is stronger than close."""
        assert (ours.cutoff, ours.names) == (other.cutoff, other.names)
        np.testing.assert_array_equal(ours.client_ids, other.client_ids)
        np.testing.assert_array_equal(ours.vectors, other.vectors)

    @staticmethod
    def assert_same_fit(ours: Block, other: Block) -> None:
        """Weights, vocabularies and losses, bit-equal."""
        left, right = ours.state(), other.state()
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)
        assert ours.report_.curves == other.report_.curves
        assert ours.report_.loss == other.report_.loss
        assert ours.report_.clients == other.report_.clients
