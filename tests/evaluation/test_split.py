"""The ends of the input and of both windows."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.pipelines.job import day
from tests.shops import land
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.split import Split, split_of

INSTANT = timedelta(microseconds=1)


def events(*times: str, **columns: object) -> pd.DataFrame:
    stamps = pd.to_datetime(list(times), format="ISO8601")
    return pd.DataFrame({"client_id": np.arange(len(times)), "timestamp": stamps, **columns})


@pytest.mark.parametrize(
    ("end", "cutoff", "validation"),
    [
        ("2022-12-08T21:30", "2022-11-11", "2022-11-25"),
        ("2022-12-08T00:00", "2022-11-11", "2022-11-25"),
        ("2022-12-08T23:59:59.999999", "2022-11-11", "2022-11-25"),
        ("2022-12-09T00:00", "2022-11-12", "2022-11-26"),
        ("2024-03-05T12:00", "2024-02-07", "2024-02-21"),
    ],
)
def test_windows_are_counted_back_from_the_day_of_the_last_purchase(
    end: str, cutoff: str, validation: str
) -> None:
    last = datetime.fromisoformat(end).replace(tzinfo=UTC)
    split = Split(last)
    assert split.cutoff == day(cutoff)
    assert split.validation_start == day(validation)
    assert split.train_window == (day(cutoff), day(validation))
    # The end of a window is exclusive: the last purchase is inside.
    assert split.validation_window == (day(validation), last + INSTANT)


def test_days_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=2))
    split = Split(datetime(2022, 12, 9, 1, 30, tzinfo=east))  # 23:30 of the 8th
    assert split.cutoff == day("2022-11-11")
    assert split.cutoff.utcoffset() == timedelta(0)


def test_the_last_purchase_decides_not_the_last_event(tmp_path: Path) -> None:
    tables = {
        "product_buy": events("2022-10-01 10:00", "2022-12-08 21:30", "2022-11-20", sku=1),
        "add_to_cart": events("2022-12-20", sku=1),
        "page_visit": events("2022-09-01", "2022-12-31 08:00", url=1),
    }
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        assert split_of(warehouse) == Split(datetime(2022, 12, 8, 21, 30, tzinfo=UTC))


def test_without_a_purchase_there_is_nothing_to_predict(tmp_path: Path) -> None:
    tables = {"page_visit": events("2022-09-01", "2022-12-31", url=1)}
    with (
        land(tmp_path / "warehouse.duckdb", tables) as warehouse,
        pytest.raises(UBPError, match="holds no purchase"),
    ):
        split_of(warehouse)


def test_one_event_before_the_windows_is_enough_and_none_is_too_short(tmp_path: Path) -> None:
    bought = events("2022-12-08 21:30", sku=1)
    just_in_time = {
        "product_buy": bought,
        "page_visit": events("2022-11-10 23:59:59.999999", url=1),
    }
    with land(tmp_path / "long.duckdb", just_in_time) as warehouse:
        assert split_of(warehouse).cutoff == day("2022-11-11")
    too_late = {"product_buy": bought, "page_visit": events("2022-11-11", url=1)}
    message = (
        "too short to evaluate: it begins 2022-11-11, and the two windows to predict begin "
        "2022-11-11, 27 days before the last purchase"
    )
    with (
        land(tmp_path / "short.duckdb", too_late) as warehouse,
        pytest.raises(UBPError, match=message),
    ):
        split_of(warehouse)
