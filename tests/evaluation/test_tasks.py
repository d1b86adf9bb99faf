"""Every label of a small shop by hand, then of a random one client by client."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shops import land, shuffle
from ubp_platform.errors import TaskUnavailable, UBPError
from ubp_platform.evaluation.class_lists import PROPENSITIES
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.evaluation.split import Split, split_of
from ubp_platform.evaluation.tasks import TASKS, Targets, Task, select_tasks
from ubp_platform.warehouse import Warehouse, targets

# The train window starts 2022-11-11, the validation window 2022-11-25.
SPLIT = Split(datetime(2022, 12, 8, 21, 30, tzinfo=UTC))

# sku: (category, price); sku 8 has no properties.
PRODUCTS = {1: (10, 5), 2: (10, 7), 3: (20, 5), 4: (30, 9), 6: (30, 9)}
PURCHASES = [
    # The input.
    (1, "2022-10-01 12:00", 1),
    (5, "2022-10-05", 1),
    (2, "2022-11-10 23:59:59.999999", 2),
    # The train window.
    (1, "2022-11-11 00:00", 1),
    (3, "2022-11-11 00:00", 8),
    (9, "2022-11-15", 3),
    (9, "2022-11-16", 2),
    (2, "2022-11-20", 3),
    (1, "2022-11-24 23:59:59.999999", 1),
    # The validation window.
    (2, "2022-11-25 00:00", 2),
    (3, "2022-12-01", 3),
    (9, "2022-12-02", 4),
    (9, "2022-12-03", 6),
    (5, "2022-12-08 21:30", 8),
]
# sku 4 is touched, but not in the input; sku 6 is, though nobody bought it there.
CARTS = [(3, "2022-11-01", 3), (1, "2022-11-12", 4)]
REMOVED = [(2, "2022-11-05", 6)]
# Client 4 only looks; client 6 comes too late.
VISITS = [(4, "2022-11-02", 100), (6, "2022-11-11", 100), (6, "2022-12-30", 101)]

# Unordered; client 77 is not in the log.
CLIENTS = np.array([5, 3, 1, 2, 4, 77])


def frame(rows: list[tuple[int, str, int]], item: str) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=["client_id", "timestamp", item])
    return made.assign(timestamp=pd.to_datetime(made["timestamp"], format="ISO8601"))


def catalog(products: dict[int, tuple[int, int]]) -> pd.DataFrame:
    rows = [(sku, category, price) for sku, (category, price) in products.items()]
    made = pd.DataFrame(rows, columns=["sku", "category", "price"])
    return made.assign(name=[np.zeros(16, np.uint8)] * len(made))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    tables = {
        "product_properties": catalog(PRODUCTS),
        "product_buy": frame(PURCHASES, "sku"),
        "add_to_cart": frame(CARTS, "sku"),
        "remove_from_cart": frame(REMOVED, "sku"),
        "page_visit": frame(VISITS, "url"),
    }
    path = tmp_path_factory.mktemp("tasks") / "warehouse.duckdb"
    with land(path, shuffle(tables)) as warehouse:
        yield warehouse


@pytest.fixture
def made(warehouse: Warehouse) -> Targets:
    return Targets(warehouse, SPLIT, CLIENTS)


def answers(labels: np.ndarray, clients: np.ndarray) -> dict[int, list[int]]:
    """Return the positive clients, each with the positions of its classes."""
    return {
        int(client): np.flatnonzero(row).tolist()
        for client, row in zip(clients, labels, strict=True)
        if row.any()
    }


def test_the_split_is_that_of_the_log(warehouse: Warehouse) -> None:
    assert split_of(warehouse) == SPLIT


def test_all_clients_are_those_with_an_event_in_the_input(warehouse: Warehouse) -> None:
    assert targets.clients(warehouse, SPLIT.cutoff).tolist() == [1, 2, 3, 4, 5]


def test_churn_asks_about_those_who_bought_in_the_input(made: Targets) -> None:
    task = made.task("churn")
    assert CLIENTS[task.rows].tolist() == [5, 1, 2]
    assert task.kind == "binary"
    # 3, who buys at the very start of the train window, has not bought before. 1 buys at that start
    # and at its very end, 2 at the very start of the validation window, 5 at the end of that.
    assert task.train.tolist() == [[1], [0], [0]]
    assert task.validation.tolist() == [[0], [1], [0]]


def test_conversion_asks_the_same_about_all(made: Targets) -> None:
    task = made.task("conversion")
    assert CLIENTS[task.rows].tolist() == [5, 3, 1, 2, 4, 77]
    assert task.train[:, 0].tolist() == [1, 0, 0, 0, 1, 1]
    assert task.validation[:, 0].tolist() == [0, 0, 1, 0, 1, 1]


# By task: classes, their purchases, and the classes that clients bought in each window.
BY_HAND = {
    "propensity_category": ([10, 20], [3, 2], {1: [0], 2: [1]}, {2: [0], 3: [1]}),
    # A tie of two and a tie of one, each by value.
    "propensity_sku": (
        [1, 3, 2, 8],
        [2, 2, 1, 1],
        {1: [0], 2: [1], 3: [3]},
        {2: [2], 3: [1], 5: [3]},
    ),
    "propensity_price": ([5, 7], [4, 1], {1: [0], 2: [0]}, {2: [1], 3: [0]}),
    "propensity_new_sku": ([8, 4], [2, 1], {3: [0]}, {5: [0]}),
}


@pytest.mark.parametrize(("name", "expected"), BY_HAND.items(), ids=BY_HAND)
def test_propensities_by_hand(made: Targets, name: str, expected: tuple) -> None:
    values, popularity, train, validation = expected
    task = made.task(name)
    assert task.kind == "multilabel"
    assert task.classes is not None
    assert task.classes.values.tolist() == values
    assert task.classes.popularity.tolist() == popularity
    assert task.rows.tolist() == list(range(len(CLIENTS)))
    assert task.train.shape == task.validation.shape == (len(CLIENTS), len(values))
    assert answers(task.train, CLIENTS) == train
    assert answers(task.validation, CLIENTS) == validation


def test_a_purchase_has_the_category_and_the_price_of_its_time(tmp_path: Path) -> None:
    changed = catalog({1: (11, 50)}).assign(valid_from=pd.Timestamp("2022-11-15"))
    tables = {
        "product_properties": pd.concat([catalog({1: (10, 5)}), changed]),
        "product_buy": frame([(1, "2022-11-14", 1), (2, "2022-11-15", 1)], "sku"),
    }
    with land(tmp_path / "changed.duckdb", tables) as warehouse:
        found = targets.purchases(warehouse, *SPLIT.train_window).select(["category", "price"])
    assert found.to_pydict() == {"category": [10, 11], "price": [5, 50]}


def test_classes_that_no_listed_client_bought_are_counted(made: Targets) -> None:
    # The first class of sku; the second of the new ones.
    assert made.task("propensity_sku").unanswerable == 1
    assert made.task("propensity_new_sku").unanswerable == 1
    assert made.task("propensity_category").unanswerable == 0


def test_the_order_of_clients_is_the_order_of_rows(warehouse: Warehouse, made: Targets) -> None:
    ascending = Targets(warehouse, SPLIT, np.sort(CLIENTS))
    for name in TASKS:
        ours, other = made.task(name), ascending.task(name)
        order = np.argsort(CLIENTS[ours.rows])
        assert (CLIENTS[ours.rows][order] == ascending.clients[other.rows]).all()
        np.testing.assert_array_equal(ours.train[order], other.train)
        np.testing.assert_array_equal(ours.validation[order], other.validation)


def test_classes_are_those_of_all_clients(warehouse: Warehouse) -> None:
    some = Targets(warehouse, SPLIT, np.array([3, 2]))
    assert some.classes("propensity_sku").values.tolist() == [1, 3, 2, 8]


def test_of_more_than_a_hundred_the_most_bought_are_asked_for(tmp_path: Path) -> None:
    # Every third of 150 products is bought twice, by the same client.
    skus = np.append(np.arange(150), np.arange(0, 150, 3))
    rows = [(int(sku) % 7, "2022-11-12", int(sku)) for sku in skus]
    rows += [(1, "2022-10-01", 999), (1, "2022-12-08 21:30", 0)]
    with land(tmp_path / "warehouse.duckdb", {"product_buy": frame(rows, "sku")}) as warehouse:
        classes = Targets(warehouse, SPLIT, np.arange(7)).classes("propensity_sku")
    twice = list(range(0, 150, 3))
    once = [sku for sku in range(150) if sku % 3]
    assert classes.values.tolist() == [*twice, *once[:50]]
    assert classes.popularity.tolist() == [2] * 50 + [1] * 50


@pytest.mark.parametrize(
    ("clients", "name", "reason"),
    [
        ([3, 4, 77], "churn", "no listed client bought anything in the input"),
        ([1, 2], "churn", "of the 2 clients to evaluate, every one bought in the train window"),
        ([5], "churn", "of the 1 clients to evaluate, none bought in the train window"),
        ([1, 4], "conversion", "2 clients to evaluate, none bought in the validation window"),
        ([4, 77], "propensity_sku", "no listed client bought any of its classes in a window"),
        # In the train window client 3 buys nothing but a product without properties.
        ([3], "propensity_category", "no listed client bought any of its classes in a window"),
    ],
)
def test_unavailable_tasks_have_a_reason(
    warehouse: Warehouse, clients: list[int], name: str, reason: str
) -> None:
    with pytest.raises(TaskUnavailable, match=reason):
        Targets(warehouse, SPLIT, np.array(clients)).task(name)


def test_without_properties_there_are_no_categories(tmp_path: Path) -> None:
    tables = {"product_buy": frame(PURCHASES, "sku")}
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        made = Targets(warehouse, SPLIT, CLIENTS)
        for name in ("propensity_category", "propensity_price"):
            with pytest.raises(TaskUnavailable, match="it has 0 of the two classes"):
                made.task(name)
        assert made.task("propensity_sku").classes is not None


def give(directory: Path, name: str, values: object, popularity: object, **options: object) -> Path:
    directory.mkdir(exist_ok=True)
    np.save(directory / f"{name}.npy", values, **options)
    if popularity is not None:
        np.save(directory / f"popularity_{name}.npy", popularity, **options)
    return directory


def test_given_classes_take_precedence(warehouse: Warehouse, tmp_path: Path) -> None:
    # One class has no purchase, one is not new, and they are not ordered by popularity.
    given = give(tmp_path / "given", "propensity_sku", [555, 8, 3], [0.25, 1, 7])
    give(given, "propensity_new_sku", np.array([2, 8], np.uint16), np.array([1, 1], np.float32))
    made = Targets(warehouse, SPLIT, CLIENTS, given)
    sku, new = made.task("propensity_sku"), made.task("propensity_new_sku")
    assert sku.classes is not None
    assert sku.classes.values.tolist() == [555, 8, 3]
    assert sku.classes.popularity.tolist() == [0.25, 1, 7]
    assert answers(sku.train, CLIENTS) == {3: [1], 2: [2]}
    assert answers(sku.validation, CLIENTS) == {5: [1], 3: [2]}
    assert sku.unanswerable == 1
    assert new.classes is not None
    assert new.classes.values.tolist() == [2, 8]
    assert answers(new.train, CLIENTS) == {3: [1]}
    assert answers(new.validation, CLIENTS) == {2: [0], 5: [1]}
    assert made.classes("propensity_price").values.tolist() == [5, 7]


def test_given_classes_may_make_a_task_unavailable(warehouse: Warehouse, tmp_path: Path) -> None:
    one = Targets(warehouse, SPLIT, CLIENTS, give(tmp_path / "one", "propensity_sku", [8], [1]))
    with pytest.raises(TaskUnavailable, match="it has 1 of the two classes"):
        one.task("propensity_sku")
    none = give(tmp_path / "none", "propensity_sku", [555, 556], [1, 1])
    with pytest.raises(TaskUnavailable, match="no listed client bought any of its classes"):
        Targets(warehouse, SPLIT, CLIENTS, none).task("propensity_sku")


SKU = "propensity_sku"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "without popularity": (
        lambda d: give(d, SKU, [1, 2], None),
        "propensity_sku.npy comes without popularity_propensity_sku.npy",
    ),
    "fractions": (
        lambda d: give(d, SKU, [1.0, 2.5], [1, 1]),
        r"propensity_sku.npy must be a list of integers, not float64 of shape \(2,\)",
    ),
    "a table": (
        lambda d: give(d, SKU, [[1, 2]], [[1, 1]]),
        r"must be a list of integers, not int64 of shape \(1, 2\)",
    ),
    "a class twice": (lambda d: give(d, SKU, [1, 2, 1], [1, 1, 1]), "names a class twice"),
    "too few popularities": (
        lambda d: give(d, SKU, [1, 2, 3], [1, 1]),
        r"must be 3 numbers, one per class of propensity_sku.npy, not int64 of shape \(2,\)",
    ),
    "popularity in words": (
        lambda d: give(d, SKU, [1, 2], ["much", "little"]),
        "popularity_propensity_sku.npy must be 2 numbers",
    ),
    "a popularity that is no number": (
        lambda d: give(d, SKU, [1, 2], [1, np.nan]),
        "popularity_propensity_sku.npy must contain non-negative numbers, not only 0",
    ),
    "a negative popularity": (lambda d: give(d, SKU, [1, 2], [1, -1]), "non-negative numbers"),
    "nothing popular": (lambda d: give(d, SKU, [1, 2], [0, 0]), "non-negative numbers, not only 0"),
    "objects": (
        lambda d: give(d, SKU, np.array([1, "x"], dtype=object), [1, 1], allow_pickle=True),
        "propensity_sku.npy is not an array of numbers in numpy's format",
    ),
    "text": (
        lambda d: (give(d, SKU, [1], [1]) / f"{SKU}.npy").write_text("1\n2\n"),
        "propensity_sku.npy is not an array of numbers in numpy's format",
    ),
    "an empty file": (
        lambda d: (give(d, SKU, [1], [1]) / f"popularity_{SKU}.npy").write_bytes(b""),
        "popularity_propensity_sku.npy is not an array of numbers in numpy's format",
    ),
}


@pytest.mark.parametrize(("make", "message"), BROKEN.values(), ids=BROKEN)
def test_invalid_class_files(
    warehouse: Warehouse, tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "given")
    with pytest.raises(UBPError, match=message):
        Targets(warehouse, SPLIT, CLIENTS, tmp_path / "given").task(SKU)


def test_given_classes_lie_in_a_directory(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(UBPError, match="is not a directory of class lists"):
            Targets(warehouse, SPLIT, CLIENTS, path)


def test_tasks_are_chosen_by_name_in_their_usual_order() -> None:
    assert select_tasks([]) == TASKS
    assert select_tasks(["propensity_sku", "churn", "propensity_sku"]) == (
        "churn",
        "propensity_sku",
    )
    with pytest.raises(UBPError, match="no task is called 'chrun'; there are churn, conversion, "):
        select_tasks(["churn", "chrun"])


def plain_labels(
    bought: pd.DataFrame, clients: np.ndarray, column: str | None, values: np.ndarray
) -> np.ndarray:
    """Label one client after another, like the organisers' code."""
    rows = []
    for client in clients:
        own = bought[bought["client_id"] == client]
        rows.append([own.empty] if column is None else np.isin(values, own[column].unique()))
    return np.array(rows, np.uint8)


def test_columns_give_what_looking_up_each_client_gives(shop: Warehouse) -> None:
    split = split_of(shop)
    rng = np.random.default_rng(3)
    clients = rng.permutation(np.arange(-5, 90))[:70]
    made = Targets(shop, split, clients)
    everything = shop.connection.execute(
        """SELECT * FROM (SELECT client_id, timestamp, sku FROM product_buy)
           LEFT JOIN product_properties USING (sku)"""
    ).df()
    windows = [
        everything[
            everything["timestamp"].ge(start.replace(tzinfo=None))
            & everything["timestamp"].lt(end.replace(tzinfo=None))
        ]
        for start, end in (split.train_window, split.validation_window)
    ]
    for name, column in [("conversion", None), *PROPENSITIES.items()]:
        if name == "propensity_new_sku":
            continue  # in this shop none is new
        task: Task = made.task(name)
        values = task.classes.values if task.classes else np.empty(0)
        for labels, bought in zip((task.train, task.validation), windows, strict=True):
            np.testing.assert_array_equal(labels, plain_labels(bought, clients, column, values))
    counts = windows[0]["category"].value_counts()
    classes = made.classes("propensity_category")
    assert dict(zip(classes.values, classes.popularity, strict=True)) == counts.to_dict()


@given(st.lists(st.integers(-20, 20), unique=True), st.lists(st.integers(-25, 25)))
def test_values_are_found_where_they_stand(values: list[int], wanted: list[int]) -> None:
    places, found = positions_in(np.array(values, np.int64), np.array(wanted, np.int64))
    assert found.tolist() == [value in values for value in wanted]
    assert places.tolist() == [values.index(value) for value in wanted if value in values]
