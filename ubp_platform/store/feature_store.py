"""Opening Feast on a home."""

import atexit
import gc
import os
import warnings
from pathlib import Path
from typing import Any

import ibis
import yaml
from feast import FeatureStore
from feast.repo_config import RepoConfig

from ubp_platform.errors import UBPError
from ubp_platform.home import PROJECT_ROOT, Home, write_whole

REPO = PROJECT_ROOT / "feature_repo"
# ibis, below Feast's DuckDB store, calls what DuckDB 2 has renamed.
warnings.filterwarnings("ignore", message=".*fetch_arrow_table.*", category=DeprecationWarning)


@atexit.register
def _let_go_of_ibis() -> None:
    """Drop the DuckDB connection of ibis, which would otherwise fill stderr with leak reports."""
    backend = ibis.options.default_backend
    if backend is not None:
        backend.disconnect()
        vars(backend).clear()
        ibis.options.default_backend = None
        gc.collect()


def open_feature_store(home: Home) -> FeatureStore:
    """Open Feast with the configuration of ``feature_repo/`` and the paths of a home.

    Parameters
    ----------
    home : Home

    Returns
    -------
    FeatureStore
        Use one a process.
    """
    home.feast.mkdir(parents=True, exist_ok=True)
    return FeatureStore(config=RepoConfig(repo_path=REPO, **_configuration(home)))


def write_configuration(home: Home) -> Path:
    """Write the configuration with the home's paths, for Feast's own command line.

    Returns
    -------
    Path
        ``feast/feature_store.yaml`` in the home.
    """
    home.feast.mkdir(parents=True, exist_ok=True)
    path = home.feast / "feature_store.yaml"
    write_whole(path, yaml.safe_dump(_configuration(home), sort_keys=False))
    return path


def _configuration(home: Home) -> dict[str, Any]:
    path = REPO / "feature_store.yaml"
    try:
        configuration: dict[str, Any] = yaml.safe_load(os.path.expandvars(path.read_text("utf-8")))
        configuration["registry"] = str(home.feast / "registry.db")
        if configuration["online_store"]["type"] == "sqlite":
            configuration["online_store"]["path"] = str(home.feast / "online.db")
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UBPError(f"{path}: not a Feast configuration: {error}") from None
    return configuration
