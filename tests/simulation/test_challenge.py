"""A log with the size and shape of the challenge's: sizes, tails, relevant clients, mistakes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.pipelines.commands import run_ubp
from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.layouts import RELEVANT_CLIENTS
from ubp_platform.simulation.catalogue import draw_catalogue
from ubp_platform.simulation.challenge import (
    CHALLENGE,
    CLIENTS,
    DAYS,
    RELEVANT,
    ROWS,
    SKUS,
    URLS,
    plan,
)
from ubp_platform.simulation.clients import draw_clients
from ubp_platform.simulation.sessions import draw_sessions
from ubp_platform.simulation.simulator import END, draw_relevant, simulate

SCALE = 0.01
SMALL = 0.0001
TOLERANCE = 0.1
LAST = pd.Timestamp(END).tz_localize(None)
# From table 1 of the paper, like ROWS.
CLIENTS_WITH = {"page_visit": 18_435_078, "search_query": 1_288_493, "add_to_cart": 1_887_989}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A hundredth of the challenge's log: its tables, events per client and relevant clients."""
    directory: Path = tmp_path_factory.mktemp("challenge")
    files = simulate(directory, **vars(plan("challenge", SCALE)))
    tables = {file.path.stem: pd.read_parquet(file.path) for file in files[:-1]}
    events = pd.concat([tables[name]["client_id"] for name in EVENT_TYPES]).value_counts()
    return SimpleNamespace(
        files=files, tables=tables, events=events, relevant=np.load(directory / RELEVANT_CLIENTS)
    )


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_the_number_of_events_of_each_type(log: SimpleNamespace, name: str) -> None:
    assert len(log.tables[name]) == pytest.approx(SCALE * ROWS[name], rel=TOLERANCE)


@pytest.mark.parametrize("name", CLIENTS_WITH)
def test_the_number_of_clients_with_events_of_a_type(log: SimpleNamespace, name: str) -> None:
    clients = log.tables[name]["client_id"].nunique()
    assert clients == pytest.approx(SCALE * CLIENTS_WITH[name], rel=TOLERANCE)


def test_the_number_of_urls_and_skus(log: SimpleNamespace) -> None:
    urls = log.tables["page_visit"]["url"].nunique()
    assert urls == pytest.approx(SCALE * URLS, rel=TOLERANCE)
    assert len(log.tables["product_properties"]) == SCALE * SKUS


def test_the_log_spans_170_days(log: SimpleNamespace) -> None:
    times = log.tables["page_visit"]["timestamp"]
    assert times.between(LAST - pd.Timedelta(days=DAYS), LAST, inclusive="left").all()
    assert times.max() - times.min() > pd.Timedelta(days=DAYS - 1)


def test_the_tail_of_events_per_client(log: SimpleNamespace) -> None:
    assert 0.15 < (log.events == 1).mean() < 0.3
    assert 0.35 < (log.events <= 2).mean() < 0.5
    assert 0.005 < (log.events >= 100).mean() < 0.02
    assert (log.events >= 1000).mean() < 0.001


def test_most_urls_are_visited_once_or_twice(log: SimpleNamespace) -> None:
    visits = log.tables["page_visit"]["url"].value_counts()
    assert (visits == 1).mean() > 0.5
    assert (visits <= 2).mean() > 0.7
    assert visits.iloc[: len(visits) // 100].sum() > 0.4 * visits.sum()


def test_sizes_grow_with_the_scale() -> None:
    assert vars(plan("challenge")) == vars(plan("challenge", 1))
    for scale in (1, 0.1, 0.01, 0.001):
        sizes = plan("challenge", scale)
        assert sizes.shop is CHALLENGE
        assert sizes.days == DAYS
        assert sizes.clients == round(scale * CLIENTS)
        assert sizes.relevant == scale * RELEVANT
        assert CHALLENGE.products(sizes.clients) == scale * SKUS
    least = plan("challenge", 1e-12)
    assert (least.clients, least.relevant) == (1, 1)


def test_relevant_clients_are_more_active(log: SimpleNamespace) -> None:
    relevant = log.relevant
    assert relevant.dtype == np.int64
    assert len(relevant) == SCALE * RELEVANT
    assert (np.diff(relevant) > 0).all()
    assert np.isin(relevant, log.events.index).all()
    assert 20 < log.events[relevant].mean() < 40
    queries = log.tables["search_query"]["client_id"].value_counts()
    assert queries.reindex(relevant, fill_value=0).mean() > 3 * len(
        log.tables["search_query"]
    ) / len(log.events)
    assert (log.files[-1].rows, log.files[-1].clients) == (len(relevant), len(relevant))


def test_the_chance_to_be_relevant_is_proportional_to_the_root_of_the_events() -> None:
    events = np.tile(np.array([0, 1, 16], np.int32), 100_000)
    ids = draw_relevant(np.random.default_rng(0), events, 3000)
    assert len(np.unique(ids)) == 3000
    none, one, sixteen = np.bincount((ids - 1) % 3)
    assert none == 0
    assert 3.5 < sixteen / one < 4.5


def test_only_clients_with_events_are_relevant() -> None:
    for count in (2, 3, 100):
        ids = draw_relevant(np.random.default_rng(0), np.array([3, 0, 1], np.int32), count)
        assert ids.tolist() == [1, 3]


def test_no_two_pages_have_the_same_url() -> None:
    catalogue = draw_catalogue(CHALLENGE, 2000, DAYS, np.random.default_rng(3))
    filtered = catalogue.filtered
    pages = np.arange(filtered.first[-1])
    assert len(pages) == 2000 * CHALLENGE.filtered_pages
    urls = np.concatenate(
        [
            filtered.begin + pages * filtered.step % filtered.modulus,
            catalogue.product_url,
            catalogue.category_url.ravel(),
            catalogue.other_url,
        ]
    )
    assert len(np.unique(urls)) == len(urls)
    categories = np.repeat(np.arange(len(catalogue.category_id)), 1000)
    drawn = filtered.draw(np.random.default_rng(0), categories)
    page = pd.Series(pages, urls[: len(pages)])[drawn].to_numpy()
    assert (np.searchsorted(filtered.first, page, side="right") - 1 == categories).all()


def test_visited_categories_have_more_filtered_pages() -> None:
    catalogue = draw_catalogue(CHALLENGE, 20_000, DAYS, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    clients = draw_clients(rng, catalogue, np.arange(20_000) + 1)
    sessions = draw_sessions(rng, catalogue, clients)
    visited = np.bincount(sessions.category, minlength=len(catalogue.category_id))
    assert np.corrcoef(visited, np.diff(catalogue.filtered.first))[0, 1] > 0.9


def test_the_command_shows_the_number_of_relevant_clients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "shop"
    outcome = run_ubp(capsys, "simulate", directory, "--like", "challenge", "--scale", SMALL)
    assert outcome.code == 0, outcome.err
    line, following = (line for line in outcome.out.splitlines() if RELEVANT_CLIENTS in line)
    assert line.split() == [RELEVANT_CLIENTS, "100", "100"]
    listed = directory / RELEVANT_CLIENTS
    assert following == f"Next ubp ingest {directory} && ubp clients {listed}"
    names = {f"{name}.parquet" for name in TABLES} | {RELEVANT_CLIENTS}
    assert {path.name for path in directory.iterdir()} == names


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--like", "amazon"], "'amazon' is not"),
        (["--scale", 0.1], "use it with --like challenge"),
        (["--like", "challenge", "--scale", 0], "at most 1, not 0"),
        (["--like", "challenge", "--scale", 1.5], "at most 1, not 1.5"),
        (["--like", "challenge", "--scale", -0.1], "at most 1, not -0.1"),
        (["--like", "challenge", "--scale", "nan"], "at most 1, not nan"),
        (["--like", "challenge", "--clients", 3000], "neither --clients nor --days"),
        (["--like", "challenge", "--scale", 0.1, "--days", 100], "neither --clients nor --days"),
    ],
    ids=str,
)
def test_mistakes_are_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[object], complaint: str
) -> None:
    outcome = run_ubp(capsys, "simulate", tmp_path / "new", *options)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert complaint in outcome.err
    assert not (tmp_path / "new").exists()
