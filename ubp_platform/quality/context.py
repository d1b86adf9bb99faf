"""How Great Expectations is set up."""

import logging
from pathlib import Path
from typing import Any

from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig

# It prints the traceback of a page that it could not write, and goes on; what follows says it in a
# line.
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)


def gx_config(docs: Path | None = None) -> DataContextConfig:
    """Configure a GX context that asks nobody, draws nothing, and sends nothing.

    Parameters
    ----------
    docs : Path, optional
        Where to keep results (``validations/``) and pages (``site/``); nowhere by default.
    """
    memory = {"class_name": "InMemoryStoreBackend"}

    def files(name: str) -> dict[str, Any]:
        if docs is None:
            return memory
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs / name)}

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": files("site"),
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    return DataContextConfig(
        config_version=4.0,
        analytics_enabled=False,
        expectations_store_name="expectations",
        validation_results_store_name="validations",
        checkpoint_store_name="checkpoints",
        stores={
            "expectations": {"class_name": "ExpectationsStore", "store_backend": memory},
            "validations": {
                "class_name": "ValidationResultsStore",
                "store_backend": files("validations"),
            },
            "checkpoints": {"class_name": "CheckpointStore", "store_backend": memory},
            "validation_definition_store": {
                "class_name": "ValidationDefinitionStore",
                "store_backend": memory,
            },
        },
        data_docs_sites={"batches": site} if docs else {},
        progress_bars=ProgressBarsConfig(globally=False),
    )
