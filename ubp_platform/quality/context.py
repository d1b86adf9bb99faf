"""The configuration of Great Expectations."""

from typing import Any

from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig


def gx_config() -> DataContextConfig:
    """Return a GX configuration without prompts, progress bars, analytics and stored files."""

    def store(kind: str) -> dict[str, Any]:
        return {"class_name": kind, "store_backend": {"class_name": "InMemoryStoreBackend"}}

    return DataContextConfig(
        config_version=4.0,
        analytics_enabled=False,
        expectations_store_name="expectations",
        validation_results_store_name="validations",
        checkpoint_store_name="checkpoints",
        stores={
            "expectations": store("ExpectationsStore"),
            "validations": store("ValidationResultsStore"),
            "checkpoints": store("CheckpointStore"),
            "validation_definition_store": store("ValidationDefinitionStore"),
        },
        data_docs_sites={},
        progress_bars=ProgressBarsConfig(globally=False),
    )
