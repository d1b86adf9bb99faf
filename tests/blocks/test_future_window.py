import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from tests.blocks.future_contract import DAY, FutureContract
from tests.shops import START
from ubp_platform.blocks.counters import Counters
from ubp_platform.blocks.future_window import FutureWindow
from ubp_platform.blocks.pseudo_cutoffs import (
    ITEM_EVENTS,
    collect_examples,
    pseudo_cutoffs,
    top_items,
    windows,
)
from ubp_platform.warehouse.history import History

TWO_WEEKS = pd.Timedelta(days=14).to_pytimedelta()


class TestFutureWindow(FutureContract):
    block_name = "future_window"
    params = {"max_epochs": 3, "width": 12, "hidden": 16, "batch_size": 16}  # noqa: RUF012

    @staticmethod
    def learned_by(block: FutureWindow) -> object:
        return block.report_.curves

    def test_prefixes_are_powers_of_two_and_the_full_width(self) -> None:
        assert FutureWindow(width=64).prefixes() == [8, 16, 32, 64]
        assert FutureWindow(width=100).prefixes() == [8, 16, 32, 64, 100]
        assert FutureWindow(width=5).prefixes() == [5]


def _history() -> History:
    """Two clients, 40 days; the first buys sku 7 on day 30, the second adds sku 8 on day 5."""
    visits = pd.DataFrame({"client_id": [1, 2] * 40, "url": 3})
    visits["timestamp"] = [START + DAY * (number // 2) for number in range(80)]
    buys = pd.DataFrame({"client_id": [1], "sku": [7], "timestamp": [START + DAY * 30]})
    adds = pd.DataFrame({"client_id": [2], "sku": [8], "timestamp": [START + DAY * 5]})
    products = pd.DataFrame({"sku": [7, 8], "category": [1, 2], "price": [10, 20]})
    products["name"] = [np.zeros(16, np.uint8).tolist()] * 2
    frames = {
        "page_visit": visits,
        "product_buy": buys,
        "add_to_cart": adds,
        "product_properties": products,
    }
    return History.of(frames, cutoff=str(START + DAY * 40))


def test_pseudo_cutoffs_leave_a_week_of_history() -> None:
    history = _history()
    days = [(history.cutoff - time).days for time in pseudo_cutoffs(history, TWO_WEEKS, 6)]
    assert days == [14, 28]
    assert len(pseudo_cutoffs(history, TWO_WEEKS, 1)) == 1


def test_examples_are_inputs_before_and_what_happened_in_the_window() -> None:
    history = _history()
    counters = Counters().fit(history)
    items = top_items(history, 10, ITEM_EVENTS)
    found = collect_examples(windows(history, TWO_WEEKS, 6), counters, items)
    assert found is not None
    # Clients 1 and 2 at day 26, then at day 12.
    assert found.client_ids.tolist() == [1, 2, 1, 2]
    names = list(counters.encode(history).names or ())
    assert found.inputs[:, names.index("visit_total")].tolist() == [26, 26, 12, 12]
    assert found.inputs[:, names.index("buy_total")].tolist() == [0, 0, 0, 0]
    assert found.inputs[:, names.index("add_total")].tolist() == [0, 1, 0, 1]
    # A purchase on day 30 is in the window from day 26: bought, its category, product and price.
    # All visit in both windows; nobody adds or searches, so these are not targets.
    targets = found.targets.toarray()
    assert targets[0].tolist() == [1, 1, 1, 1, 1]
    assert targets[1:].tolist() == [[0, 1, 0, 0, 0]] * 3
    assert len(set(found.groups)) == 5


def test_no_examples_where_nothing_happens_in_a_window() -> None:
    history = _history()
    with history.until(history.cutoff - TWO_WEEKS * 2) as short:
        items = top_items(short, 10, ITEM_EVENTS)
        in_windows = windows(short, TWO_WEEKS, 6)
        assert collect_examples(in_windows, Counters().fit(short), items) is None


def test_the_first_dimensions_predict_who_will_buy() -> None:
    """Odd clients buy every third day, the others only visit: every prefix separates them."""
    clients, days = np.arange(1, 61), np.arange(0, 70, 3)
    when = [START + DAY * int(day) for day in days]
    each = pd.MultiIndex.from_product([clients, when], names=["client_id", "timestamp"])
    all_ = each.to_frame(index=False)
    buys = all_[all_["client_id"] % 2 == 1].assign(sku=7)
    frames = {"page_visit": all_.assign(url=3), "product_buy": buys}
    history = History.of(frames, cutoff=str(START + DAY * 70))
    block = FutureWindow(width=16, hidden=32, batch_size=32, learning_rate=1e-2).fit(history)
    vectors = block.encode(history).vectors
    model = LogisticRegression().fit(vectors[:40, :8], clients[:40] % 2)
    assert model.score(vectors[40:, :8], clients[40:] % 2) == 1
    assert min(block.report_.curves["validation"]) < 0.5
