"""What can be learned from a simulated shop: each mechanism, seen in the files alone.

The catalogue is drawn again only to identify the category of pages and products.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.simulation.catalogue import draw_catalogue
from ubp_platform.simulation.shop import Shop
from ubp_platform.simulation.simulator import END, simulate

CLIENTS, DAYS, SEED = 2000, 100, 7
LAST = pd.Timestamp(END).tz_localize(None)
HALF = LAST - pd.Timedelta(days=DAYS / 2)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The tables; all events; visits to products' pages and purchases, with their categories."""
    directory: Path = tmp_path_factory.mktemp("shop")
    files = simulate(directory, CLIENTS, DAYS, SEED)
    tables = {file.path.stem: pd.read_parquet(file.path) for file in files}
    catalogue = draw_catalogue(Shop(), CLIENTS, DAYS, np.random.default_rng([SEED, 0]))
    numbers = np.arange(len(catalogue.sku))
    views = tables["page_visit"].assign(
        product=tables["page_visit"]["url"].map(pd.Series(numbers, catalogue.product_url))
    )
    views = views.dropna().astype({"product": int})
    buys = tables["product_buy"].assign(
        product=tables["product_buy"]["sku"].map(pd.Series(numbers, catalogue.sku))
    )
    for frame in (views, buys):
        frame["category"] = catalogue.category[frame["product"]]
    events = pd.concat(
        [tables[name][["client_id", "timestamp"]].assign(event=name) for name in EVENT_TYPES],
        ignore_index=True,
    )
    return SimpleNamespace(
        tables=tables, catalogue=catalogue, views=views, buys=buys, events=events
    )


def counts(frame: pd.DataFrame, column: np.ndarray | pd.Series, width: int) -> np.ndarray:
    """Count by client, shape (CLIENTS + 1, width)."""
    table = np.zeros((CLIENTS + 1, width))
    np.add.at(table, (frame["client_id"], column), 1)
    return table


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)


def test_events_per_client_are_as_many_as_in_the_challenge_with_a_long_tail(
    log: SimpleNamespace,
) -> None:
    mean = log.events["event"].value_counts() / CLIENTS
    assert 60 < mean.sum() < 100
    assert 50 < mean["page_visit"] < 90
    assert 2 < mean["search_query"] < 5
    assert 2 < mean["add_to_cart"] < 4
    assert 1 < mean["product_buy"] < 2
    assert 0.5 < mean["remove_from_cart"] < 1.5
    sizes = log.events["client_id"].value_counts()
    assert len(sizes) == CLIENTS
    assert sizes.max() > 5 * sizes.mean() > 7 * sizes.median()


def test_viewed_categories_predict_later_purchases(log: SimpleNamespace) -> None:
    early, late = (log.views[log.views["timestamp"] < HALF], log.buys[log.buys["timestamp"] > HALF])
    width = len(log.catalogue.category_id)
    seen = counts(early, early["category"], width)
    late = late[seen[late["client_id"]].any(axis=1)]
    popular = np.argsort(-seen.sum(axis=0))[:5]
    own = np.argsort(-seen, axis=1, kind="stable")[late["client_id"], :5]
    by_popularity = late["category"].isin(popular).mean()
    by_taste = (own == late["category"].to_numpy()[:, None]).any(axis=1).mean()
    assert len(late) > 500
    assert by_taste > 0.45
    assert by_taste > 2 * by_popularity


def test_tastes_drift(log: SimpleNamespace) -> None:
    fifth = (DAYS - (LAST - log.views["timestamp"]) / pd.Timedelta("1D")) // (DAYS / 5)
    width = len(log.catalogue.category_id)
    tastes = np.stack(
        [
            unit(counts(views, views["category"], width))
            for _, views in log.views.groupby(fifth, sort=True)
        ]
    )  # (5, clients, categories)
    steady = tastes.any(axis=2).all(axis=0)
    tastes = tastes[:, steady]
    alike = [(tastes[lag:] * tastes[: 5 - lag]).sum(axis=-1).mean() for lag in range(1, 5)]
    stranger = (tastes[0] * np.roll(tastes[0], 1, axis=0)).sum(axis=-1).mean()
    assert steady.sum() > 300
    assert (np.diff(alike) < 0).all()
    assert alike[3] < 0.8 * alike[0]
    assert alike[3] > 4 * stranger


def test_near_departments_are_liked_by_the_same_clients(log: SimpleNamespace) -> None:
    coordinates = log.catalogue.coordinates
    department = log.catalogue.department[log.views["category"]]
    likes = counts(log.views, department, len(coordinates))[1:]
    likes = likes[likes.sum(axis=1) >= 30]
    together = np.corrcoef((likes / likes.sum(axis=1, keepdims=True)).T)
    pairs = np.triu_indices(len(coordinates), 1)
    assert np.corrcoef(together[pairs], (coordinates @ coordinates.T)[pairs])[0, 1] > 0.3


def test_clients_keep_to_a_price_level(log: SimpleNamespace) -> None:
    price = log.tables["product_properties"].set_index("sku")["price"]
    views = log.views.assign(price=price[log.catalogue.sku[log.views["product"]]].to_numpy())
    buys = log.buys.assign(price=price[log.buys["sku"]].to_numpy())
    before = views[views["timestamp"] < HALF].groupby("client_id")["price"].mean()
    after = buys[buys["timestamp"] > HALF].groupby("client_id")["price"].mean()
    both = before.index.intersection(after.index)
    assert np.corrcoef(before[both], after[both])[0, 1] > 0.3
    assert np.ptp(price) == 99


@pytest.mark.parametrize("position", [1, 2, 3, -1])
def test_the_first_codes_of_a_name_identify_the_category(
    log: SimpleNamespace, position: int
) -> None:
    codes, category = log.catalogue.name[:, position], log.catalogue.category
    shown = np.arange(len(codes)) % 2 == 0
    guess = _most_frequent(codes[shown], category[shown])
    right = pd.Series(codes[~shown]).map(guess).to_numpy() == category[~shown]
    chance = np.bincount(category).max() / len(category)
    if position > 0:
        assert right.mean() > 0.6 > 10 * chance
    else:
        assert right.mean() < 0.05


def test_a_query_predicts_the_category_of_the_next_view(log: SimpleNamespace) -> None:
    queries = log.tables["search_query"]
    codes = np.stack(queries["query"].to_list())
    guess = _most_frequent(log.catalogue.name[:, 1], log.catalogue.category)
    queried = queries.assign(guess=pd.Series(codes[:, 1]).map(guess)).sort_values("timestamp")
    views = log.views[["client_id", "timestamp", "category"]].sort_values("timestamp")
    next_view = pd.merge_asof(
        queried, views, on="timestamp", by="client_id", direction="forward"
    ).dropna()
    assert (next_view["guess"] == next_view["category"]).mean() > 0.6
    assert views["category"].value_counts(normalize=True).max() < 0.15
    # Queries repeat.
    assert len(np.unique(codes, axis=0)) < 0.5 * len(codes)


def _most_frequent(codes: np.ndarray, category: np.ndarray) -> pd.Series:
    return pd.crosstab(codes, category).idxmax(axis=1)


def test_clients_absent_for_longer_return_less_often(log: SimpleNamespace) -> None:
    cutoff = LAST - pd.Timedelta("14D")
    before = log.events[log.events["timestamp"] < cutoff].groupby("client_id")["timestamp"]
    away = cutoff - before.max()
    later = log.events.loc[log.events["timestamp"] >= cutoff, "client_id"]
    back = away.index.isin(later)
    shares = [
        back[(away >= pd.Timedelta(days=least)) & (away < pd.Timedelta(days=most))].mean()
        for least, most in ((0, 7), (7, 14), (14, 28), (28, 56), (56, 100))
    ]
    assert (np.diff(shares) < 0).all()
    assert shares[0] > 0.7
    assert shares[-1] < 0.1
    # Recency is informative, but not sufficient.
    assert 0.75 < roc_auc_score(back, -away.dt.total_seconds()) < 0.95


def test_clients_come_and_go_during_the_log(log: SimpleNamespace) -> None:
    days = (LAST - log.events["timestamp"]) / pd.Timedelta("1D")
    by_client = days.groupby(log.events["client_id"])
    assert 0.2 < (by_client.max() < DAYS / 2).mean() < 0.5
    assert 0.2 < (by_client.min() > DAYS / 4).mean() < 0.6


def test_weekends_are_busier_and_every_client_has_a_rhythm_of_its_own(
    log: SimpleNamespace,
) -> None:
    weekday = log.events["timestamp"].dt.dayofweek
    share = weekday.value_counts(normalize=True).sort_index().to_numpy()
    assert share[5:].min() > 1.1 * share[:5].max()
    halves = []
    for half in (log.events["timestamp"] < HALF, log.events["timestamp"] >= HALF):
        table = counts(log.events[half], weekday[half], 7)
        halves.append(table / np.maximum(table.sum(axis=1, keepdims=True), 1))
    often = np.flatnonzero(log.events["client_id"].value_counts().sort_index() > 150) + 1
    own = [(half - half[often].mean(axis=0))[often].ravel() for half in halves]
    assert len(often) > 100
    assert np.corrcoef(*own)[0, 1] > 0.2
    hour = log.events["timestamp"].dt.hour
    assert hour.between(17, 22).mean() > 0.4 > 10 * hour.between(2, 5).mean()


def test_no_event_of_a_product_precedes_its_launch(log: SimpleNamespace) -> None:
    launch = LAST - pd.Timedelta(days=DAYS) + pd.to_timedelta(log.catalogue.launch, "s")
    for frame in (log.views, log.buys):
        assert (frame["timestamp"].to_numpy() >= launch[frame["product"]]).all()
    skus = pd.Series(launch, log.catalogue.sku)
    for name in ("add_to_cart", "remove_from_cart", "product_buy"):
        frame = log.tables[name]
        assert (frame["timestamp"].to_numpy() >= skus[frame["sku"]]).all()
    new = log.catalogue.launch > 0
    assert 0.2 < new.mean() < 0.3
    touched = new[log.views["product"]]
    late = (log.views["timestamp"] > HALF).to_numpy()
    assert touched[late].mean() > 1.5 * touched[~late].mean() > 0


def _additions_before(log: SimpleNamespace, events: pd.DataFrame) -> pd.Series:
    """How long ago, before each event, the client added the same product; NaT if it never did."""
    additions = log.tables["add_to_cart"].assign(added=log.tables["add_to_cart"]["timestamp"])
    joined = pd.merge_asof(
        events.sort_values("timestamp"),
        additions.sort_values("timestamp"),
        on="timestamp",
        by=["client_id", "sku"],
    )
    return joined["timestamp"] - joined["added"]


def test_only_what_was_added_is_removed(log: SimpleNamespace) -> None:
    removed = log.tables["remove_from_cart"]
    ago = _additions_before(log, removed)
    assert (ago > pd.Timedelta(0)).all()
    assert (ago < pd.Timedelta("2h")).all()
    keys = ["client_id", "sku"]
    removals = removed.groupby(keys).size()
    additions = log.tables["add_to_cart"].groupby(keys).size()
    assert (removals <= additions[removals.index]).all()


def test_most_purchases_follow_an_addition_and_every_addition_a_visit(log: SimpleNamespace) -> None:
    ago = _additions_before(log, log.buys)
    same_session = (ago > pd.Timedelta("30s")) & (ago < pd.Timedelta("2h"))
    assert 0.85 < same_session.mean() < 0.97
    visits = log.views.assign(
        sku=log.catalogue.sku[log.views["product"]], seen=log.views["timestamp"]
    )
    additions = pd.merge_asof(
        log.tables["add_to_cart"].sort_values("timestamp"),
        visits.sort_values("timestamp")[["client_id", "sku", "timestamp", "seen"]],
        on="timestamp",
        by=["client_id", "sku"],
        allow_exact_matches=False,
    )
    waited = additions["timestamp"] - additions["seen"]
    assert (waited < pd.Timedelta("20min")).all()


def test_a_session_has_a_category(log: SimpleNamespace) -> None:
    views = log.views.sort_values(["client_id", "timestamp"], kind="stable")
    gap = views["timestamp"].diff() > pd.Timedelta("1h")
    session = (gap | views["client_id"].diff().ne(0)).cumsum()
    same = views["category"].diff().eq(0)
    inside = session.diff().eq(0)
    other_session = views["client_id"].diff().eq(0) & ~inside
    assert same[inside].mean() > 0.6
    assert same[inside].mean() > 1.5 * same[other_session].mean()
    assert same[other_session].mean() > 0.15


def test_popularity_has_a_long_tail(log: SimpleNamespace) -> None:
    for numbers, low, high in (
        (np.bincount(log.buys["product"], minlength=len(log.catalogue.sku)), 0.12, 0.35),
        (log.tables["page_visit"]["url"].value_counts().to_numpy(), 0.15, 0.45),
    ):
        ranked = np.sort(numbers)[::-1]
        top = ranked[: len(ranked) // 100].sum() / ranked.sum()
        assert low < top < high
    bought = log.buys["product"].nunique() / len(log.catalogue.sku)
    assert 0.2 < bought < 0.6


def test_most_clients_either_search_often_or_hardly_ever(log: SimpleNamespace) -> None:
    looked = counts(log.views, np.zeros(len(log.views), int), 1)[:, 0]
    queries = log.tables["search_query"]
    queried = counts(queries, np.zeros(len(queries), int), 1)[:, 0]
    active = looked >= 40
    share = queried[active] / looked[active]
    hardly, between, often = np.histogram(share, [0, 0.025, 0.075, 2])[0] / active.sum()
    assert 0.5 < hardly < 0.75
    assert often > 0.25
    assert between < 0.12


def test_ids_carry_no_information(log: SimpleNamespace) -> None:
    for ids in (log.catalogue.sku, log.catalogue.product_url, log.catalogue.category_id):
        assert len(np.unique(ids)) == len(ids)
        assert abs(np.corrcoef(ids, np.arange(len(ids)))[0, 1]) < 0.2
