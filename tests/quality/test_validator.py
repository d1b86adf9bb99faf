"""Validation with shared plans gives what Great Expectations gives."""

import json
from typing import Any

import great_expectations as gx
import pandas as pd
import pytest

from ubp_platform.quality.suites import SUITES, _batch_definition
from ubp_platform.quality.validator import SliceValidator, validate

PARAMETERS = {"now": "2022-06-02T00:00:00+00:00"}
COMPLETE = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
GOOD = pd.DataFrame(
    {
        "client_id": [1, 2, 3],
        "timestamp": pd.to_datetime(["2022-06-01"] * 3, utc=True),
        "url": [5, 6, 7],
        "known_from_unreadable": False,
    }
)


def without_times(result: Any) -> dict[str, Any]:
    found = json.loads(json.dumps(result.to_json_dict(), default=str))
    del found["statistics"]
    del found["meta"]["batch_markers"]
    for rule in found["results"]:
        rule["exception_info"].pop("exception_traceback", None)
        if "raised_exception" not in rule["exception_info"]:  # by the metric that failed
            rule["exception_info"] = sorted(rule["exception_info"])
    return found


@pytest.mark.parametrize(
    "frame",
    [
        GOOD,
        GOOD.head(0),
        GOOD.assign(client_id=[None, 2, -3]),
        GOOD.assign(timestamp=pd.to_datetime(["1970-01-01", None, "2030-01-01"], utc=True)),
        GOOD.drop(columns="url"),
    ],
    ids=["good", "empty", "ids", "times", "missing"],
)
def test_results_are_those_of_great_expectations(frame: pd.DataFrame) -> None:
    rules = json.loads((SUITES / "page_visit.json").read_text("utf-8"))
    suite = gx.ExpectationSuite(**rules)
    batch = _batch_definition("page_visit").get_batch(batch_parameters={"dataframe": frame})
    expected = batch.validate(suite, result_format=COMPLETE, expectation_parameters=PARAMETERS)
    planned = [validate(batch, suite, PARAMETERS) for _ in range(2)]
    assert [without_times(result) for result in planned] == [without_times(expected)] * 2


def test_plans_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ubp_platform.quality.validator._MOST_PLANS", 3)
    monkeypatch.setattr(SliceValidator, "_plans", {})
    rule = gx.expectations.ExpectColumnValuesToBeBetween
    for most in range(5):
        suite = gx.ExpectationSuite(name="s", expectations=[rule(column="url", max_value=most)])
        batch = _batch_definition("page_visit").get_batch(batch_parameters={"dataframe": GOOD})
        assert not validate(batch, suite, {}).success
        assert 0 < len(SliceValidator._plans) <= 3
