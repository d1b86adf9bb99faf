"""Great Expectations' validation of slices, with its metrics planned once for each rule.

For every slice, GX plans again what each rule needs to be computed. That takes longer than checking
the values of a small slice, and depends on the rule alone.
"""

import json
from typing import Any

import great_expectations as gx
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.util import convert_to_json_serializable
from great_expectations.validator.validator import Validator

# Rules with their plans; those of a past "now" are of no use any more.
_MOST_PLANS = 1000


class SliceValidator(Validator):
    """GX's validator of one batch; all of them share the plans of rules they have seen."""

    _plans: dict[str, tuple[list[Any], list[Any]]] = {}  # noqa: RUF012 - shared on purpose

    # The name is GX's, which calls it in `graph_validate`.
    def _generate_metric_dependency_subgraphs_for_each_expectation_configuration(
        self,
        expectation_configurations: list[Any],
        processed_configurations: list[Any],
        catch_exceptions: bool,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Plan each rule by itself; what cannot be planned is a failed result and is not kept."""
        planned: tuple[list[Any], list[Any], list[Any]] = ([], [], processed_configurations)
        for configuration in expectation_configurations:
            rule = [configuration.to_json_dict(), runtime_configuration, self.active_batch_id]
            key = json.dumps(rule, sort_keys=True, default=str)
            graphs, kept = self._plans.get(key, ([], []))
            failed: list[Any] = []
            if not graphs:
                plan = (
                    super()._generate_metric_dependency_subgraphs_for_each_expectation_configuration
                )
                graphs, failed, kept = plan(
                    [configuration], [], catch_exceptions, runtime_configuration
                )
                if not failed:
                    if len(self._plans) >= _MOST_PLANS:
                        self._plans.clear()
                    self._plans[key] = graphs, kept
            for total, more in zip(planned, (graphs, failed, kept), strict=True):
                total += more
        return planned


def validate(
    batch: Any, suite: gx.ExpectationSuite, parameters: dict[str, Any]
) -> ExpectationSuiteValidationResult:
    """Do what ``batch.validate`` does, with complete results.

    Parameters
    ----------
    batch : great_expectations.datasource.fluent.interfaces.Batch
    suite : ExpectationSuite
    parameters : dict
        What ``{"$PARAMETER": name}`` in the suite stands for.
    """
    validator = SliceValidator(
        execution_engine=batch.data.execution_engine,
        interactive_evaluation=True,
        data_context=batch.datasource.data_context,
        batches=[batch],
    )
    results = validator.graph_validate(
        configurations=validator.process_expectations_for_validation(
            suite.expectation_configurations, parameters
        ),
        runtime_configuration={
            "result_format": {"result_format": "COMPLETE", "return_unexpected_index_query": False}
        },
    )
    return ExpectationSuiteValidationResult(
        success=all(found.success for found in results),
        results=results,
        suite_name=suite.name,
        meta={
            "great_expectations_version": gx.__version__,
            "batch_spec": convert_to_json_serializable(validator.active_batch_spec),
            "batch_markers": validator.active_batch_markers,
            "active_batch_definition": convert_to_json_serializable(
                validator.active_batch_definition
            ),
        },
    )
