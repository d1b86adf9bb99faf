"""The suites in expectations/, and that any Great Expectations rule works."""

import json
import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import TABLES
from ubp_platform.quality import DataDocs, SuiteRun
from ubp_platform.quality.suites import SUITES


def visits(**columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "client_id": [1, 2, 3],
            "timestamp": pd.to_datetime(["2022-06-01"] * 3, utc=True),
            "url": [5, 6, 7],
            "known_from_unreadable": False,
            "delivered_at_unreadable": False,
        }
    )
    return frame.assign(**columns)


def test_each_table_has_a_suite_and_each_rule_a_description() -> None:
    assert {path.stem for path in SUITES.glob("*.json")} == set(TABLES)
    for path in SUITES.glob("*.json"):
        suite = json.loads(path.read_text())
        assert suite["name"] == path.stem
        assert all(rule["description"] for rule in suite["expectations"])


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_has_a_rule_that_it_exists(table: str) -> None:
    missing = SuiteRun(table).check_header(["something_else"])
    needed = [name for name in TABLES[table].columns if name not in TABLES[table].optional]
    assert missing == needed
    assert not SuiteRun(table).check_header([*TABLES[table].columns, "more"])


def test_good_rows_break_nothing_and_bad_ones_are_named() -> None:
    run = SuiteRun("page_visit", now=datetime(2022, 6, 1, 12, tzinfo=UTC))
    assert run.check(visits()) == []
    early = pd.to_datetime(["2022-06-01", "1970-01-01", "1994-12-31"], utc=True)
    (broken,) = run.check(visits(timestamp=early))
    assert broken.rule == "timestamp is not before 1995"
    assert broken.positions.tolist() == [1, 2]
    (broken,) = run.check(visits(client_id=[1, None, 3]))
    assert broken.absent
    assert broken.positions.tolist() == [1]
    future = pd.to_datetime(["2022-06-01 11:59", "2022-06-01 12:00", "2022-06-01 12:01"], utc=True)
    (broken,) = run.check(visits(timestamp=future))
    assert broken.positions.tolist() == [2]


def test_slices_add_up() -> None:
    run = SuiteRun("page_visit")
    run.check_header(list(TABLES["page_visit"].columns))
    for years in ([2022, 1971, 1972], [2022, 2021, 2020], [1973, 2000, 1995]):
        times = pd.to_datetime([f"{year}-01-01" for year in years], utc=True)
        run.check(visits(timestamp=times))
    result = run.result()
    assert not result.success
    found = next(
        r
        for r in result.results
        if r.expectation_config.description == "timestamp is not before 1995"
    )
    assert found.result["element_count"] == 9
    assert found.result["unexpected_count"] == 3
    assert found.result["unexpected_percent"] == pytest.approx(100 / 3)
    wrong = pd.to_datetime(found.result["partial_unexpected_list"])
    assert wrong.year.tolist() == [1971, 1972, 1973]
    assert result.statistics["unsuccessful_expectations"] == 1


def test_a_users_own_rule_works_for_rows_and_for_files(tmp_path: Path) -> None:
    suite = json.loads((SUITES / "page_visit.json").read_text())
    suite["expectations"] += [
        {"type": "expect_column_values_to_be_in_set",
         "kwargs": {"column": "url", "value_set": [5, 6]}, "description": "url is known"},
        {"type": "expect_table_row_count_to_be_between",
         "kwargs": {"max_value": 2}, "description": "few rows"},
    ]  # fmt: skip
    (tmp_path / "page_visit.json").write_text(json.dumps(suite))
    rows, whole = SuiteRun("page_visit", tmp_path).check(visits())
    assert rows.positions.tolist() == [2]
    assert (whole.rule, whole.is_about_table) == ("few rows", True)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"name": "x", "expectations": [{"type": "no_such"}]}']
)
def test_a_broken_suite_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "page_visit.json").write_text(text)
    with pytest.raises(UBPError, match=r"page_visit\.json: not a readable suite"):
        SuiteRun("page_visit", tmp_path)


def test_without_a_clone_the_missing_suites_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match="is missing: checking deliveries needs a clone of the proj"):
        SuiteRun("page_visit", tmp_path / "expectations")


def test_pages_name_each_rule_load_nothing_and_run_nothing(tmp_path: Path) -> None:
    run = SuiteRun("page_visit")
    run.check_header(list(TABLES["page_visit"].columns))
    run.check(visits(client_id=[1, None, 3]))
    evil = '<script>"x"</script>.csv'
    index = DataDocs(tmp_path).write("batch-1", {"page_visit.csv": run, evil.replace("/", ""): run})
    pages = [index, *tmp_path.rglob("validations/**/*.html")]
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        assert not re.search(r'(?:src|href)="(?:https?:|//)|<script|<link|@import', text)
    text = unescape(next(tmp_path.rglob("page_visit.csv.html")).read_text())
    suite = json.loads((SUITES / "page_visit.json").read_text())
    assert all(rule["description"] in text for rule in suite["expectations"])
    assert text.index("client_id is present") < text.index("there is a column url")
    assert "33.33%" in text
