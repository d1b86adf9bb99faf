"""Every promise of README.md has tests that say the same."""

import re

import pytest

from tests.docs.pages import README
from ubp_platform.home import PROJECT_ROOT

PROMISES = {
    "No event, price or category from a cutoff on reaches a model or a feature.": [
        "pipelines/test_end_to_end.py::"
        "test_no_event_price_or_category_from_a_cutoff_on_reaches_a_model_or_a_feature",
        "blocks/contract.py::test_rows_from_the_cutoff_on_and_rows_that_came_then_change_nothing",
    ],
    "Late events make new revisions; what was served is kept, and training sets can be "
    "as served.": [
        "store/test_as_served.py::test_late_events_make_a_new_revision_and_what_was_served_is_kept",
        "store/test_as_served.py::test_at_any_instant_online_and_offline_are_the_same",
    ],
    "A training row older than what its models learned from causes a warning.": [
        "pipelines/test_end_to_end.py::"
        "test_a_training_row_older_than_what_its_models_learned_from_causes_a_warning",
    ],
    "`ubp audit` computes served profiles again.": [
        "pipelines/test_audit.py::test_late_events_and_changed_prices_are_no_fault",
        "pipelines/test_audit.py::test_every_fault_is_found",
    ],
    "Nothing is lost: kills, power losses and damaged files are tried and counted.": [
        "chaos/test_rows.py::test_no_try_fails",
        "store/test_upkeep.py::test_a_damaged_file_is_found",
    ],
    "Bad rows are kept with the rule they broke.": [
        "pipelines/test_ingest.py::test_bad_rows_are_kept_with_the_rule_they_broke",
    ],
    "Files and events delivered twice are recognised.": [
        "pipelines/test_ingest.py::test_files_and_events_delivered_twice_are_recognised",
        "pipelines/test_ingest.py::test_overlapping_deliveries_keep_the_most_copies_of_each_event",
    ],
    "Offline and online agree, bit for bit.": [
        "pipelines/test_end_to_end.py::test_offline_and_online_agree_bit_for_bit_for_every_client",
    ],
    "Nothing you load can run code.": [
        "blocks/test_language_model.py::test_pickled_weights",
        "blocks/test_language_model.py::test_code_of_a_model_is_not_run",
        "layouts/test_sandbox.py::test_nothing_but_the_source_and_the_layout_can_be_read",
    ],
    "Weights are safetensors, tables Parquet, the rest JSON.": [
        "evaluation/test_export.py::test_everything_is_there_and_loads_without_pickle",
    ],
}


def test_every_sentence_is_in_the_list() -> None:
    (section,) = re.findall(r"## What it promises\n(.*?)\n## ", README.read_text(), re.DOTALL)
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", section.replace("**", ""))
    points = [" ".join(point.split()) for point in text.split("\n* ") if point.strip()]
    sentences = [one for point in points for one in re.findall(r".*?[.](?= |$)", point)]
    promises = [re.sub("^Correct in time. ", "", one).strip() for one in sentences]
    assert [one for one in promises if one != "Correct in time."] == [*PROMISES]


@pytest.mark.parametrize("test", [test for tests in PROMISES.values() for test in tests])
def test_the_tests_exist(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"def {name}(" in (PROJECT_ROOT / "tests" / path).read_text()
