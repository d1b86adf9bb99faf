"""Feast's configuration and registry of a home."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from feast import FeatureStore
from feast.errors import FeastError
from feast.repo_config import RepoConfig
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from ubp_platform import sealed
from ubp_platform.errors import UBPError, first_line
from ubp_platform.files import atomic_file, make_directory, write_text
from ubp_platform.home import Home
from ubp_platform.store.configuration import configuration, is_ours, published, template
from ubp_platform.store.feast_internals import deferring_offline_store
from ubp_platform.store.objects import feast_objects, snapshot_pattern, view_name


def repo_config(home: Home) -> RepoConfig:
    """Return Feast's configuration of a home.

    Raises
    ------
    UBPError
        If it is invalid.
    """
    try:
        arguments = configuration(home)
        if is_ours(arguments.get("offline_store")):
            return deferring_offline_store(template(home).parent, arguments)
        return RepoConfig(repo_path=template(home).parent, **arguments)
    except ValidationError as error:
        # Feast's own message repeats the values, and with them passwords.
        first = error.errors(include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise UBPError(
            f"{template(home)}: not a Feast configuration: {name}: {first['msg']}"
        ) from None
    except FeastError as error:
        raise UBPError(f"{template(home)}: {first_line(error)}") from None


def write_registry(home: Home, publishes: Mapping[str, str]) -> None:
    """Write Feast's registry anew: it appears complete, and only publishing writes it.

    Parameters
    ----------
    home : Home
    publishes : mapping of str to str
        As in :func:`~ubp_platform.store.objects.feast_objects`.
    """
    with atomic_file(home.feast / "registry.db") as draft:
        config = configuration(home) | {"registry": str(draft)}
        store = FeatureStore(config=RepoConfig(repo_path=template(home).parent, **config))
        store.apply(feast_objects(home, publishes))


def read_registry(home: Home, publishes: Mapping[str, str]) -> str:
    """Say what is wrong with Feast's registry; empty if nothing is.

    Parameters
    ----------
    home, publishes
        As in :func:`write_registry`.
    """
    path = home.feast / "registry.db"
    if not path.exists():
        return "is missing"
    store = FeatureStore(config=repo_config(home))
    try:
        found = {view.name: view.batch_source for view in store.list_feature_views()}
    except (FeastError, DecodeError, ValueError):
        return "is damaged"
    for version, publish in publishes.items():
        name, files = view_name(version, publish), snapshot_pattern(home.profiles / version)
        if name not in found:
            return f"lacks the view {name}"
        if getattr(found[name], "path", None) != files:
            return f"is of a home in another place, from where this one was copied (view {name})"
    return ""


def write_configuration(home: Home) -> Path:
    """Write the configuration with the home's paths, for Feast's own command line.

    It names environment variables instead of containing their values, which may be passwords.
    """
    make_directory(home.feast, private=home.root)
    path = published(home)
    text = yaml.safe_dump(configuration(home, expand=False), sort_keys=False)
    write_text(path, sealed.sealed(f"# {sealed.UNSEALED}\n{text}".encode()).decode())
    return path
