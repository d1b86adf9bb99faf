"""Opening Feast on a home."""

from pathlib import Path
from typing import Any

import yaml
from feast import FeatureStore
from feast.errors import FeastError
from feast.repo_config import RepoConfig
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from ubp_platform.errors import UBPError, first_line
from ubp_platform.files import make_directory, write_text
from ubp_platform.home import Home
from ubp_platform.store.configuration import configuration, published, template


def open_feature_store(home: Home) -> FeatureStore:
    """Open Feast with the configuration of a home.

    Open it once per process. No server is contacted.

    Raises
    ------
    UBPError
        If the configuration, the connection string or the registry is invalid.
    """
    make_directory(home.feast, private=home.root)
    try:
        config = RepoConfig(repo_path=template(home).parent, **configuration(home))
        store = FeatureStore(config=config)
        store.registry  # noqa: B018 - reads the registry, which Feast would postpone
    except ValidationError as error:
        # Feast's own message repeats the values, and with them passwords.
        first = error.errors(include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise UBPError(
            f"{template(home)}: not a Feast configuration: {name}: {first['msg']}"
        ) from None
    except FeastError as error:
        raise UBPError(f"{template(home)}: {first_line(error)}") from None
    except DecodeError:
        raise UBPError(
            f"{home.feast / 'registry.db'} is damaged: remove it, `ubp publish` writes it again"
        ) from None
    if store.config.online_store.type == "redis":
        from ubp_platform.store.redis import prepare

        provider: Any = store._get_provider()
        prepare(provider.online_store, store.config.online_store)
    return store


def write_configuration(home: Home) -> Path:
    """Write the configuration with the home's paths, for Feast's own command line.

    It names environment variables instead of containing their values, which may be passwords.
    """
    make_directory(home.feast, private=home.root)
    path = published(home)
    write_text(path, yaml.safe_dump(configuration(home, expand=False), sort_keys=False))
    return path
