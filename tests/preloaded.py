"""What other processes of tests begin with: as `ubp` does, and Dynamo, which optimizers import."""

from importlib import import_module

from ubp_platform.store.fast_import import fast_feast_import

fast_feast_import()
for name in ("cli", "pipelines.ingest", "pipelines.publish", "pipelines.train", "torch._dynamo"):
    import_module(name)
