import tempfile
from datetime import UTC
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shops import land, plant_future, random_shop, shuffle
from ubp_platform.errors import BlockUnavailable
from ubp_platform.events.schema import EVENT_CODES
from ubp_platform.warehouse import History, Vocabulary, Warehouse
from ubp_platform.warehouse.history import query_text

CUTOFF_TIME = pd.Timestamp("2022-07-01 12:00")
CUTOFF = CUTOFF_TIME.to_pydatetime().replace(tzinfo=UTC)
MISSING, RARE, FIRST = Vocabulary.MISSING, Vocabulary.RARE, Vocabulary.FIRST
BUY, ADD, REMOVE, VISIT, SEARCH = range(5)

# sku: (category, price); sku 9 is unknown.
PRODUCTS = {1: (10, 20), 2: (10, 50), 3: (11, 80)}
# (client, time before the cutoff, sku or url)
EVENTS = {
    "product_buy": [(1, "1h", 1), (2, "2D", 3), (1, "0s", 2)],
    "add_to_cart": [(1, "1D", 1), (1, "1h", 2), (1, "1h", 1), (2, "3D", 3), (3, "4D", 9)],
    "remove_from_cart": [(1, "30min", 2)],
    "page_visit": [(1, "2D", 100), (1, "1h", 101), (2, "1D", 100), (4, "-1us", 102)],
    "search_query": [(1, "1h", 7)],
}


def tables() -> dict[str, pd.DataFrame]:
    products = pd.DataFrame(
        [(sku, category, price) for sku, (category, price) in PRODUCTS.items()],
        columns=["sku", "category", "price"],
    )
    made = {"product_properties": products.assign(name=[np.zeros(16, np.uint8)] * 3)}
    for name, rows in EVENTS.items():
        item = {"page_visit": "url", "search_query": "query"}.get(name, "sku")
        frame = pd.DataFrame(rows, columns=["client_id", "ago", item])
        if item == "query":
            frame[item] = [np.full(16, value, np.uint8) for value in frame[item]]
        made[name] = frame.assign(timestamp=CUTOFF_TIME - pd.to_timedelta(frame["ago"]))
    return made


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory):
    # Landed in random order.
    path = tmp_path_factory.mktemp("history") / "warehouse.duckdb"
    with land(path, shuffle(tables(), seed=5)) as warehouse:
        yield warehouse


@pytest.fixture
def history(warehouse: Warehouse) -> History:
    return warehouse.history(CUTOFF)


def every(history: History, *fields: str) -> dict[str, Vocabulary]:
    return {field: history.vocabulary(field) for field in fields}


def test_events_are_counted_strictly_before_the_cutoff(history: History) -> None:
    # Not the purchase at the cutoff, nor the visit a microsecond later.
    assert list(history.counts.values()) == [2, 5, 1, 3, 1]


def test_require_names_what_is_missing(warehouse: Warehouse) -> None:
    early = warehouse.history(CUTOFF.replace(year=2021))
    with pytest.raises(BlockUnavailable, match="no product_buy or page_visit events before 2021"):
        early.require(["product_buy", "page_visit"])
    warehouse.history(CUTOFF).require(["product_buy"])


def test_vocabulary_is_ordered_by_frequency_then_value(history: History) -> None:
    # sku 1 and 2: bought or added 3 and 1 times, removed 0 and 1 times; 3: twice; 9: once.
    np.testing.assert_array_equal(history.vocabulary("sku").values, [1, 2, 3, 9])
    np.testing.assert_array_equal(history.vocabulary("url").values, [100, 101])
    np.testing.assert_array_equal(history.vocabulary("category").values, [10, 11])
    # In additions alone: sku 1 twice; 2, 3 and 9 once each.
    adds = history.vocabulary("sku", size=3, event_types=["add_to_cart"])
    np.testing.assert_array_equal(adds.values, [1, 2, 3])
    assert adds.size == FIRST + 3
    removals = history.vocabulary("sku", event_types=["remove_from_cart"])
    np.testing.assert_array_equal(removals.values, [2])


def test_vocabulary_is_of_all_clients(warehouse: Warehouse) -> None:
    few = warehouse.history(CUTOFF, np.array([3]))
    np.testing.assert_array_equal(few.vocabulary("sku").values, [1, 2, 3, 9])


def test_sequences_are_in_time_order_and_ties_by_type_then_item(history: History) -> None:
    sequences = history.sequences(every(history, "event_type", "sku", "url"), last=100)
    np.testing.assert_array_equal(sequences.client_ids, [1, 2, 3])
    np.testing.assert_array_equal(sequences.offsets, [0, 8, 11, 12])
    np.testing.assert_array_equal(sequences.lengths, [8, 3, 1])
    # Event types by frequency: add (5), visit (3), buy (2), remove (1), search (1).
    types = np.array([ADD, VISIT, BUY, REMOVE, SEARCH])
    first = [VISIT, ADD, BUY, ADD, ADD, VISIT, SEARCH, REMOVE]
    np.testing.assert_array_equal(
        types[sequences.fields["event_type"] - FIRST], [*first, ADD, BUY, VISIT, ADD]
    )
    # An hour ago client 1 bought 1, added 1, added 2, visited and searched, in this order.
    m, skus = MISSING, {sku: FIRST + place for place, sku in enumerate([1, 2, 3, 9])}
    np.testing.assert_array_equal(
        sequences.fields["sku"],
        [m, skus[1], skus[1], skus[1], skus[2], m, m, skus[2], skus[3], skus[3], m, skus[9]],
    )
    np.testing.assert_array_equal(
        sequences.fields["url"], [FIRST, m, m, m, m, FIRST + 1, m, m, m, m, FIRST, m]
    )
    assert all(tokens.dtype == np.int32 for tokens in sequences.fields.values())


@pytest.mark.parametrize("last", [1, 2, 3, 5, 8])
def test_only_the_newest_events_are_kept(history: History, last: int) -> None:
    fields = every(history, "sku", "day")
    whole, part = history.sequences(fields, last=100), history.sequences(fields, last=last)
    np.testing.assert_array_equal(part.lengths, np.minimum(whole.lengths, last))
    for client in range(3):
        end, part_end = whole.offsets[client + 1], part.offsets[client + 1]
        kept = part.lengths[client]
        for field in fields:
            np.testing.assert_array_equal(
                part.fields[field][part_end - kept : part_end],
                whole.fields[field][end - kept : end],
            )


def test_values_outside_the_vocabulary_are_rare_and_absent_ones_missing(history: History) -> None:
    fields = {
        "sku": history.vocabulary("sku", size=1),
        "category": history.vocabulary("category", size=1),
    }
    sequences = history.sequences(fields, last=100, event_types=["add_to_cart", "page_visit"])
    # Client 1: visit, add 1, add 1, add 2, visit. Client 2: add 3, visit. Client 3: add 9.
    m, rare, known = MISSING, RARE, FIRST
    np.testing.assert_array_equal(
        sequences.fields["sku"], [m, known, known, rare, m, rare, m, rare]
    )
    # Products 1 and 2 are of category 10, 3 of category 11, and 9 of unknown category.
    np.testing.assert_array_equal(
        sequences.fields["category"], [m, known, known, known, m, rare, m, m]
    )


def test_days_and_weeks_end_at_the_cutoff(tmp_path: Path) -> None:
    ago = ["0s", "1us", "1D", "1D 1us", "7D", "7D 1us", "14D", "14D 1us"]
    times = CUTOFF_TIME - pd.to_timedelta(ago)
    visits = pd.DataFrame({"client_id": 1, "timestamp": times, "url": range(len(ago))})
    with land(tmp_path / "warehouse.duckdb", {"page_visit": visits}) as warehouse:
        history = warehouse.history(CUTOFF)
        known = every(history, "day", "week", "url")
        tokens = history.sequences(known, last=100).fields
    found = {f: known[f].values[tokens[f] - FIRST][::-1] for f in known}
    # The event at the cutoff is excluded; newest first.
    np.testing.assert_array_equal(found["url"], [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(found["day"], [0, 0, 1, 6, 7, 13, 14])
    np.testing.assert_array_equal(found["week"], [0, 0, 0, 0, 1, 1, 2])


def test_interactions_sum_the_weights(history: History) -> None:
    found = history.interactions(
        "sku", {"product_buy": 1, "add_to_cart": 0.75, "remove_from_cart": -0.5}
    )
    np.testing.assert_array_equal(found.client_ids, [1, 2, 3])
    np.testing.assert_array_equal(found.items, [1, 2, 3, 9])
    # Client 1: sku 1 bought once and added twice, sku 2 added and removed.
    expected = [[2.5, 0.25, 0, 0], [0, 0, 1.75, 0], [0, 0, 0, 0.75]]
    np.testing.assert_array_equal(found.matrix.toarray(), expected)
    assert found.matrix.dtype == np.float32


def test_interactions_leave_out_events_without_the_item(history: History) -> None:
    found = history.interactions("category", {"product_buy": 3, "add_to_cart": 1})
    # Client 3 added a product without a category.
    np.testing.assert_array_equal(found.client_ids, [1, 2])
    np.testing.assert_array_equal(found.items, [10, 11])
    np.testing.assert_array_equal(found.matrix.toarray(), [[6, 0], [0, 4]])
    pages = history.interactions("url", {"page_visit": 1})
    np.testing.assert_array_equal(pages.matrix.toarray(), [[1, 1], [1, 0]])


def test_interactions_over_given_items_keep_their_columns(history: History) -> None:
    items = np.array([2, 3, 500])
    found = history.interactions("sku", {"add_to_cart": 1}, items)
    np.testing.assert_array_equal(found.client_ids, [1, 2])
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_array_equal(found.matrix.toarray(), [[1, 0, 0], [0, 1, 0]])
    nothing = history.interactions("sku", {"add_to_cart": 1}, np.array([500]))
    assert nothing.matrix.shape == (0, 1)


def handcrafted(history: History) -> pa.Table:
    return history.query(query_text("handcrafted"), counted=("sku_popularity", "url_popularity"))


def test_relevant_clients_limit_rows(warehouse: Warehouse) -> None:
    some = warehouse.history(CUTOFF, np.array([3, 1, 1, 777]))
    all_counts = warehouse.history(CUTOFF).counts
    assert some.counts == all_counts
    fields = every(some, "sku")
    np.testing.assert_array_equal(some.sequences(fields, last=9).client_ids, [1, 3])
    found = some.interactions("sku", {"add_to_cart": 1})
    np.testing.assert_array_equal(found.client_ids, [1, 3])
    np.testing.assert_array_equal(found.items, [1, 2, 9])
    assert handcrafted(some)["client_id"].to_pylist() == [1, 3]


def test_no_relevant_clients_with_events_mean_empty_arrays(warehouse: Warehouse) -> None:
    nobody = warehouse.history(CUTOFF, np.array([777]))
    sequences = nobody.sequences(every(nobody, "sku"), last=9)
    assert len(sequences.client_ids) == 0
    np.testing.assert_array_equal(sequences.offsets, [0])
    assert nobody.interactions("sku", {"add_to_cart": 1}).matrix.shape == (0, 0)
    assert handcrafted(nobody).num_rows == 0


def test_two_histories_of_one_warehouse_do_not_disturb_each_other(warehouse: Warehouse) -> None:
    late = warehouse.history(CUTOFF)
    early = warehouse.history(CUTOFF.replace(year=2021), np.array([1]))
    assert sum(early.counts.values()) == 0
    assert sum(late.counts.values()) == 12


def everything(path: Path, made: dict[str, pd.DataFrame], cutoff: pd.Timestamp) -> dict:
    """Everything that a history returns, as arrays by name."""
    with land(path, made) as warehouse:
        history = warehouse.history(cutoff.to_pydatetime().replace(tzinfo=UTC))
        fields = {
            **every(history, "event_type", "category", "price", "url", "day", "week"),
            "sku": history.vocabulary("sku", size=10),
        }
        sequences = history.sequences(fields, last=20)
        found = history.interactions("sku", {"product_buy": 1, "remove_from_cart": -0.5})
        table = handcrafted(history)
        return {
            "counts": np.array(list(history.counts.values())),
            **{f"vocabulary {name}": known.values for name, known in fields.items()},
            **{f"tokens {name}": tokens for name, tokens in sequences.fields.items()},
            "sequence clients": sequences.client_ids,
            "offsets": sequences.offsets,
            "rows": found.client_ids,
            "items": found.items,
            "matrix": found.matrix.toarray(),
            **{f"table {name}": table[name].to_numpy() for name in table.column_names},
        }


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    clients=st.integers(1, 20),
    events=st.integers(1, 60),
    hours=st.integers(0, 60 * 24),
)
def test_later_rows_and_the_order_of_rows_change_nothing(
    seed: int, clients: int, events: int, hours: int
) -> None:
    shop = random_shop(seed, clients, events)
    cutoff = pd.Timestamp("2022-06-01") + pd.Timedelta(hours=hours)
    with tempfile.TemporaryDirectory() as directory:
        ours = everything(Path(directory) / "ours.duckdb", shop, cutoff)
        future = shuffle(plant_future(shop, cutoff), seed)
        other = everything(Path(directory) / "other.duckdb", future, cutoff)
    assert ours.keys() == other.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], other[name], err_msg=name)
    before = [len(f[f["timestamp"] < cutoff]) for n, f in shop.items() if n in EVENT_CODES]
    np.testing.assert_array_equal(ours["counts"], before)
    offsets = ours["offsets"]
    assert offsets[0] == 0
    assert len(offsets) == len(ours["sequence clients"]) + 1
    assert ((np.diff(offsets) >= 1) & (np.diff(offsets) <= 20)).all()
    for field in ("event_type", "sku", "day"):
        assert len(ours[f"tokens {field}"]) == offsets[-1]
    assert (ours["tokens event_type"] >= FIRST).all()
    assert (ours["tokens sku"] >= MISSING).all()


def test_a_part_of_a_history_has_its_own_start_and_end(history: History) -> None:
    start = CUTOFF - pd.Timedelta("1D")
    with history.until(CUTOFF - pd.Timedelta("1h"), start=start) as part:
        # An event at the start is included, one at the end is not.
        assert part.counts["add_to_cart"] == 1
        assert part.counts["page_visit"] == 1
        assert part.clients.tolist() == [1, 2]
    with history.until(CUTOFF, clients=np.array([2])) as part:
        assert part.counts == history.counts
        assert part.clients_with(["product_buy"]).tolist() == [2]
    assert history.first == CUTOFF - pd.Timedelta("4D")


def test_a_part_never_extends_beyond_its_history(history: History) -> None:
    late, start = CUTOFF + pd.Timedelta("1us"), CUTOFF - pd.Timedelta("1D")
    with pytest.raises(ValueError, match="is after the cutoff"), history.until(late):
        pass
    with history.until(CUTOFF, start=start) as part:
        with part.until(CUTOFF) as same:
            assert same.counts == part.counts != history.counts
        early = start - pd.Timedelta("1us")
        with pytest.raises(ValueError, match="is before the start"), part.until(CUTOFF, early):
            pass
