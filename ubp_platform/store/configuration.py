"""Feast's configuration of a home: ``feature_repo/feature_store.yaml``, and the environment.

Where only the library is installed, there is no ``feature_repo/``; the configuration that the home
was published with takes its place.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from ubp_platform import sealed
from ubp_platform.errors import UBPError, first_line
from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.settings import Settings

TEMPLATE = PROJECT_ROOT / "feature_repo" / "feature_store.yaml"
_KINDS = ("sqlite", "redis")
# Feast's DuckDB store joins wide vectors; ours does the same faster.
_OFFLINE = {"duckdb": {"type": "ubp_platform.store.offline.KeysFirstDuckDBOfflineStore"}}
_REDIS = "localhost:6379"
# The user's options follow these and override them. Without them, a host that drops packets blocks
# for minutes.
_TIMEOUTS = "socket_connect_timeout=5,socket_timeout=10"


def template(home: Home) -> Path:
    """Return the path of the file that names the stores, from which a configuration is made."""
    return TEMPLATE if TEMPLATE.parent.is_dir() else published(home)


def published(home: Home) -> Path:
    """Return the path of the configuration, with a home's paths, that ``ubp publish`` writes."""
    return home.feast / "feature_store.yaml"


def online_store(home: Home) -> str:
    """Return the type of the online store: ``sqlite``, ``redis`` or another one of Feast's.

    It is ``UBP_ONLINE_STORE``, or else the one in the template.

    Raises
    ------
    UBPError
        If there is no such store, or the template is not a configuration.
    """
    path = template(home)
    return _kind(_parse(os.path.expandvars(_read(path)), path), path)


def configuration(home: Home, expand: bool = True) -> dict[str, Any]:
    """Return the template, completed with a home's paths.

    Parameters
    ----------
    home : Home
    expand : bool
        False is for a file that Feast reads without this package: it keeps the names of environment
        variables, which Feast's command line expands, instead of values, which may be passwords;
        and it names the offline store of Feast instead of ours.

    Returns
    -------
    dict
        The arguments of ``feast.RepoConfig``.

    Raises
    ------
    UBPError
        If the template is not a configuration, or names an unknown store.
    """
    path = template(home)
    text = _read(path)
    expanded = _parse(os.path.expandvars(text), path)
    result = expanded if expand else _parse(text, path)
    kind = _kind(expanded, path)
    options = _options(result) if kind == _type(expanded) else {}
    result["registry"] = str(home.feast / "registry.db")
    if kind == "sqlite":
        options["path"] = str(home.feast / "online.db")
    else:
        if path != published(home):
            result["project"] = f"{result.get('project', 'ubp')}_{home.identity}"
    if kind == "redis":
        if str(options.get("connection_string")).startswith(_TIMEOUTS):
            # Written by an earlier publish; the environment decides now.
            del options["connection_string"]
        options.setdefault("connection_string", _connection_string(expand))
        # Otherwise Feast keeps an existing profile of the same cutoff, although late events may
        # have changed it.
        options.setdefault("skip_dedup", True)
    result["online_store"] = {"type": kind, **options}
    offline = result.get("offline_store")
    if expand and isinstance(offline, str):
        result["offline_store"] = _OFFLINE.get(offline, {"type": offline})
    return result


def is_ours(offline_store: object) -> bool:
    """Whether an offline store of a configuration is ours, with nothing in it to be checked."""
    return offline_store in _OFFLINE.values()


def _read(path: Path) -> str:
    if path != TEMPLATE and not path.exists():
        raise UBPError(
            f"{path} is missing: the home was never published; run `ubp publish` where its "
            "profiles are made"
        )
    if path != TEMPLATE:
        sealed.check(path, "run `ubp publish` where its profiles are made")
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UBPError(f"{path}: not a Feast configuration: {first_line(error)}") from None


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UBPError(f"{path}: not a Feast configuration: {first_line(error)}") from None
    if not isinstance(parsed, dict) or not _type(parsed):
        raise UBPError(f"{path}: not a Feast configuration: `online_store` is missing")
    return parsed


def _kind(template: dict[str, Any], path: Path) -> str:
    """Return the type of the online store: one of ours, or any that the long form names."""
    written, environment = _type(template), Settings.load().online_store
    kind = environment or written
    if kind in _KINDS or (isinstance(template["online_store"], dict) and kind == written):
        return kind
    origin = "UBP_ONLINE_STORE" if environment else f"{path}: online_store"
    raise UBPError(f"{origin}: {kind!r} is not an online store; choose {' or '.join(_KINDS)}")


def _type(template: dict[str, Any]) -> str:
    """Read ``online_store: redis`` or the long form ``online_store: {type: redis, …}``."""
    online = template.get("online_store")
    return str((online.get("type") if isinstance(online, dict) else online) or "")


def _options(template: dict[str, Any]) -> dict[str, Any]:
    online = template["online_store"]
    if not isinstance(online, dict):
        return {}
    return {name: value for name, value in online.items() if name != "type"}


def _connection_string(expand: bool) -> str:
    address = Settings.load().redis
    if address and not expand:
        address = "${UBP_REDIS}"
    return f"{_TIMEOUTS},{address or _REDIS}"
