"""Days without an event where there should be some: known answers, and what is no gap."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.deliveries import deliver
from ubp_platform.home import Home
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.gaps import Gap, gaps

FIRST, UNTIL = date(2022, 6, 1), parse_time("2022-07-01")


def daily(counts: list[int]) -> pd.DataFrame:
    """Make purchases: some each day from FIRST on, at random times of it."""
    rng, days = np.random.default_rng(0), np.repeat(np.arange(len(counts)), counts)
    times = pd.Timestamp(FIRST) + pd.to_timedelta(
        days * 86400 + rng.integers(0, 86400, len(days)), "s"
    )
    clients = np.arange(len(days))
    return pd.DataFrame({"client_id": clients, "timestamp": times, "sku": 1})


def found(place: Path, counts: list[int], until=UNTIL, others: list[int] | None = None):
    tables = {"product_buy": daily(counts)}
    if others:
        tables["page_visit"] = daily(others).rename(columns={"sku": "url"})
    home = Home(home=place / "home")
    notes = ingest(home, str(deliver(place / "in", **tables))).notes
    with Warehouse(home.warehouse) as warehouse:
        return gaps(warehouse.connection, until), notes


@pytest.mark.parametrize(
    ("counts", "since", "days", "usual", "is_open"),
    [
        ([20] * 27 + [0] * 3, 27, 3, 0, True),
        ([20] * 29 + [0], 29, 1, 0, True),
        ([20] * 10 + [0] * 2 + [20] * 18, 10, 2, 0, False),
        (([20] * 6 + [0]) * 3 + [20] * 4 + [0] * 5, 25, 5, 1, True),
    ],
)
def test_a_gap_is_found(tmp_path: Path, counts, since, days, usual, is_open) -> None:
    start = FIRST + timedelta(days=since)
    expected = Gap("product_buy", start, start + timedelta(days=days), usual, is_open)
    assert found(tmp_path, counts)[0] == [expected]
    assert expected.days == days


@pytest.mark.parametrize(
    "counts",
    [
        [20] * 30,
        ([20] * 5 + [0] * 2) * 4 + [20] * 2,  # closed at weekends
        [20] + ([20] * 6 + [0]) * 4 + [0],  # two days are not more than twice one
        [2] * 27 + [0] * 3,  # six events are missing, that may be chance
        [20] * 13 + [0] * 17,  # too few days to know what is usual
    ],
)
def test_what_is_no_gap(tmp_path: Path, counts) -> None:
    assert found(tmp_path, counts)[0] == []


def test_what_happens_at_the_end_or_after_it_is_not_looked_at(tmp_path: Path) -> None:
    counts = [20] * 27 + [0] * 3 + [20] * 5
    assert [(gap.days, gap.open) for gap in found(tmp_path, counts)[0]] == [(3, True)]


def test_a_day_that_is_not_over_does_not_count(tmp_path: Path) -> None:
    assert found(tmp_path, [20] * 29 + [0], until=parse_time("2022-06-30 12:00"))[0] == []


def test_an_ingest_names_the_table_that_ends_early(tmp_path: Path) -> None:
    _, notes = found(tmp_path, [20] * 27 + [0] * 3, others=[9] * 30)
    said = "product_buy has no event since 2022-06-28: 3 days, never before"
    assert [note for note in notes if "no event" in note] == [said]
