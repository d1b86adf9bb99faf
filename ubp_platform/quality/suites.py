"""Run a Great Expectations suite over a table, slice by slice.

The suites in ``expectations/`` are the only place that defines rules for values. GX has no DuckDB
source, so it gets pandas slices, and the results of all slices are added up.
"""

import json
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from ubp_platform.errors import UBPError, first_line
from ubp_platform.events.schema import TABLES
from ubp_platform.home import PROJECT_ROOT
from ubp_platform.quality.context import gx_config
from ubp_platform.quality.validator import validate

SUITES = PROJECT_ROOT / "expectations"
# The type of rules about the header; all others are about values.
_HEADER_RULE = "expect_column_to_exist"
_EXAMPLES = 20
# The suffixes of a slice's columns that are derived from one of the table.
_DERIVED = re.compile("_(unreadable|present|count|min|max)$")

logging.getLogger("great_expectations").setLevel(logging.ERROR)


@dataclass(frozen=True)
class BrokenRule:
    """Rows of one slice that break one rule.

    Parameters
    ----------
    rule : str
        The suite's description of it.
    column : str
    absent : bool
        Whether the rule requires a readable value.
    positions : ndarray of int64
        Row positions in the slice; empty if the rule is about the table.
    is_about_table : bool
        Whether the rule is about the table rather than single rows.
    """

    rule: str
    column: str
    absent: bool
    positions: np.ndarray
    is_about_table: bool


class SuiteRun:
    """One suite over one delivered table, slice by slice.

    Parameters
    ----------
    table : str
        The name of the suite ``expectations/TABLE.json``.
    suites : Path
        The directory of the suites.
    now : datetime, optional
        The value of ``{"$PARAMETER": "now"}`` in a suite; the present by default.
    """

    def __init__(self, table: str, suites: Path = SUITES, now: datetime | None = None) -> None:
        self.table = table
        self._now = (now or datetime.now(UTC)).isoformat()
        path = suites / f"{table}.json"
        if not suites.is_dir():
            raise UBPError(f"{suites} is missing: checking deliveries needs a clone of the project")
        try:
            self._suite = gx.ExpectationSuite(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError, gx.exceptions.GreatExpectationsError) as error:
            raise UBPError(f"{path}: not a readable suite: {first_line(error)}") from None
        header = [rule for rule in self._suite.expectations if _kind(rule) == _HEADER_RULE]
        values = [rule for rule in self._suite.expectations if _kind(rule) != _HEADER_RULE]
        self._header, self._values = gx.ExpectationSuite(name=table, expectations=header), values
        self._results: list[ExpectationValidationResult] = []
        self._meta: dict[str, Any] = {}

    def check_header(self, columns: list[str]) -> list[str]:
        """Check the names of a table's columns and return those that are missing."""
        result = self._validate(pd.DataFrame(columns=columns), self._header)
        self._results = list(result.results)
        return [_config_of(found).kwargs["column"] for found in result.results if not found.success]

    def check(self, frame: pd.DataFrame) -> list[BrokenRule]:
        """Check the values of one slice.

        Parameters
        ----------
        frame : DataFrame
            With a range index and the columns that the suite names. Rules about a column that
            may be missing and is missing are left out.

        Returns
        -------
        list of BrokenRule
            One for each rule that a row (or the slice) breaks.
        """
        applicable = [rule for rule in self._values if self._applies(rule, frame)]
        suite = gx.ExpectationSuite(name=self.table, expectations=applicable)
        result = self._validate(frame, suite)
        broken = []
        for found in result.results:
            if found.exception_info.get("raised_exception"):
                raise UBPError(
                    f"expectations/{self.table}.json: {_rule(found)}: cannot be checked: "
                    f"{first_line(found.exception_info['exception_message'])}"
                )
            # These lists are too long for the docs.
            positions = found.result.pop("unexpected_index_list", None)
            found.result.pop("unexpected_list", None)
            if not found.success:
                broken.append(
                    BrokenRule(
                        rule=_rule(found),
                        column=_config_of(found).kwargs.get("column", ""),
                        absent=_is_about_absence(_config_of(found)),
                        positions=np.asarray(positions or [], dtype=np.int64),
                        is_about_table=positions is None,
                    )
                )
        self._add(result)
        return broken

    def _applies(self, rule: Any, frame: pd.DataFrame) -> bool:
        column = getattr(rule, "column", None)
        if column is None or column in frame:
            return True
        return _DERIVED.sub("", column) not in {*TABLES[self.table].fillable, "money"}

    def _validate(
        self, frame: pd.DataFrame, suite: gx.ExpectationSuite
    ) -> ExpectationSuiteValidationResult:
        batch = _batch_definition(self.table).get_batch(batch_parameters={"dataframe": frame})
        return validate(batch, suite, {"now": self._now})

    def _add(self, result: ExpectationSuiteValidationResult) -> None:
        """Add a slice's counts to those of the slices before it."""
        known = {_identity(total): total for total in self._results}
        for found in result.results:
            total = known.get(_identity(found))
            if total is None:
                self._results.append(found)
                continue
            total.success = bool(total.success and found.success)
            for count in ("element_count", "unexpected_count", "missing_count"):
                if count in found.result:
                    total.result[count] += found.result[count]
            examples = total.result.get("partial_unexpected_list", [])
            examples += found.result.get("partial_unexpected_list", [])
            total.result["partial_unexpected_list"] = examples[:_EXAMPLES]
            for detail in ("partial_unexpected_counts", "partial_unexpected_index_list"):
                total.result.pop(detail, None)
            _set_percentages(total.result)
        self._meta = dict(result.meta)

    def result(self) -> ExpectationSuiteValidationResult:
        """Return the result over all slices so far."""
        successes = sum(bool(found.success) for found in self._results)
        return ExpectationSuiteValidationResult(
            success=successes == len(self._results),
            results=self._results,
            suite_name=self.table,
            meta=self._meta,
            statistics={
                "evaluated_expectations": len(self._results),
                "successful_expectations": successes,
                "unsuccessful_expectations": len(self._results) - successes,
                "success_percent": 100.0 * successes / max(1, len(self._results)),
            },
        )


@cache
def _batch_definition(table: str) -> Any:
    """Return the batch definition through which GX reads pandas frames of a table."""
    asset = _memory_context().data_sources.pandas_default.add_dataframe_asset(table)
    return asset.add_batch_definition_whole_dataframe("slice")


@cache
def _memory_context() -> Any:
    return gx.get_context(mode="ephemeral", project_config=gx_config())


def _kind(rule: Any) -> str:
    return str(rule.expectation_type)


def _config_of(found: ExpectationValidationResult) -> ExpectationConfiguration:
    assert found.expectation_config is not None  # noqa: S101 - GX sets it in every result
    return found.expectation_config


def _rule(found: ExpectationValidationResult) -> str:
    config = _config_of(found)
    return config.description or f"{config.type}({config.kwargs})"


def _is_about_absence(config: ExpectationConfiguration) -> bool:
    column = config.kwargs.get("column", "")
    return config.type.endswith("not_be_null") or column.endswith("_unreadable")


def _identity(found: ExpectationValidationResult) -> str:
    config = _config_of(found)
    return json.dumps([config.type, config.kwargs], sort_keys=True, default=str)


def _set_percentages(result: dict[str, Any]) -> None:
    rows, bad = result.get("element_count", 0), result.get("unexpected_count", 0)
    missing = result.get("missing_count", 0)
    percentages = {
        "unexpected_percent": (bad, rows - missing),
        "unexpected_percent_nonmissing": (bad, rows - missing),
        "unexpected_percent_total": (bad, rows),
        "missing_percent": (missing, rows),
    }
    for name, (part, whole) in percentages.items():
        if name in result:
            result[name] = 100.0 * part / whole if whole else 0.0
