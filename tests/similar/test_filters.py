"""Conditions on facts, and facts that are replaced."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from ubp_platform.errors import BadRequest
from ubp_platform.similar.facts import Facts
from ubp_platform.similar.filters import Condition, allowed

CUTOFF = datetime(2022, 7, 1, tzinfo=UTC)


def table(ids: list[str], days: list[int], likes: list[list[str | None]]) -> pa.Table:
    last = [CUTOFF - timedelta(days=one) for one in days]
    return pa.table(
        {
            "client_key": pa.array(range(len(ids)), pa.int64()),
            "client_id": ids,
            "last_event": pa.array(last, pa.timestamp("us", "UTC")),
            "events": pa.array([10 * one for one in days], pa.int32()),
            **{
                f"category_{place + 1}": pa.array([one[place] for one in likes], pa.string())
                for place in range(3)
            },
            "buy_total": pa.array([3.0, float("nan"), 1.0], pa.float32()),
            "x": pa.array([0.0] * len(ids), pa.float32()),
            "y": pa.array([0.0] * len(ids), pa.float32()),
        }
    )


@pytest.fixture
def facts(tmp_path) -> Facts:  # type: ignore[no-untyped-def]
    rows = table(
        ["a", "b", "c"],
        [1, 20, 300],
        [["Tables", "Chairs", None], ["Lamps", "Tables", "Beds, soft"], [None, None, None]],
    )
    Facts(rows).write(tmp_path / "facts")
    return Facts.open(tmp_path / "facts")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["buy_total>=2"], "a"),
        (["buy_total < 2"], "c"),
        (["buy_total!=3"], "c"),
        (["last_days<=20"], "ab"),
        (["last_days=1"], "a"),
        (["events>100"], "bc"),
        (["category=Tables"], "ab"),
        (["category!=Tables"], "c"),
        (["category=Beds, soft"], "b"),
        (["category=Tables", "last_days>5"], "b"),
        (["category=Tables", "last_days>50"], ""),
    ],
)
def test_conditions(facts: Facts, filters: list[str], expected: str) -> None:
    found = allowed(facts, CUTOFF, filters)
    assert found is not None
    assert "".join(map(str, facts.ids(np.flatnonzero(found)))) == expected
    assert facts.present.all()  # as before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("buy_total", "is no condition"),
        ("", "is no condition"),
        ("buy_total>=", "is no condition"),
        ("buy_total>=many", "needs a number"),
        ("buyer=1", "there is no 'buyer' to filter by; there are category, last_days"),
        ("category>Tables", "category=WORD"),
        ("category=Sofas", "no client has 'Sofas'"),
        ("buy_total=1; DROP TABLE x", "needs a number"),
        ("client_id=1", "there is no 'client_id'"),
        ("buy_total>=nan", "needs a number"),
        ("category=\ud800", "is no condition"),
    ],
)
def test_mistakes(facts: Facts, text: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        Condition.parse(text).holds(facts, CUTOFF)


def test_who_is_gone_is_nowhere(facts: Facts) -> None:
    left = facts.emptied(np.array([0]))
    assert left.slot("a") is None
    assert left.slot("c") == 2
    assert left.present.tolist() == [False, True, True]
    for filters in (["category!=Lamps"], ["events>=0"], ["last_days>=0"]):
        shown = allowed(left, CUTOFF, filters)
        assert shown is not None
        assert not shown[0]
    assert left.features_of(0) == {}


def test_slots_are_kept_whatever_keys_are(facts: Facts) -> None:
    """Keys of integer ids may be negative, and stand in any order."""
    rows = table(["a", "b", "c"], [1, 2, 3], [["Rugs", None, None]] * 3)
    keys = np.array([-(2**63), -1, 7])
    rows = rows.set_column(0, "client_key", pa.array(keys)).drop_columns(["x", "y"])
    points = np.arange(10, dtype=np.float32).reshape(5, 2)
    order = np.array([7, 0, -(2**63), -1, 0])
    found = Facts.at_slots(rows, order, np.array([True, False, True, True, False]), points)
    assert found.ids(np.arange(5)) == ["c", None, "a", "b", None]
    assert found.keys[found.present].tolist() == [7, -(2**63), -1]
    assert found.points[[0, 2, 3]].tolist() == points[[0, 2, 3]].tolist()
    assert found.client(3).events == 20


def test_what_nobody_likes_any_more_is_in_no_file(facts: Facts, tmp_path) -> None:  # type: ignore[no-untyped-def]
    facts.emptied(np.array([1])).write(tmp_path / "left")
    written = (tmp_path / "left").read_bytes()
    assert b"Tables" in written
    assert b"Lamps" not in written


def test_percentiles_by_hand(facts: Facts) -> None:
    assert facts.percentiles(0) == {"buy_total": 0.75}
    assert facts.percentiles(2) == {"buy_total": 0.25}
