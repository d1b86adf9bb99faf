"""Feast's configuration of a home: ``feature_repo/feature_store.yaml``, and the environment.

Where the library is installed alone, there is no ``feature_repo/``: what a home was published with
takes its place.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ubp_platform.errors import UBPError, first_line
from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.settings import Settings

TEMPLATE = PROJECT_ROOT / "feature_repo" / "feature_store.yaml"
_KINDS = ("sqlite", "redis")
_REDIS = "localhost:6379"
# The user's options come behind these and win. Without them, minutes pass at a host that drops
# what it is sent.
_PATIENCE = "socket_connect_timeout=5,socket_timeout=10"


def template(home: Home) -> Path:
    """Name the file that a home's configuration is made from: it says which stores there are."""
    return TEMPLATE if TEMPLATE.parent.is_dir() else published(home)


def published(home: Home) -> Path:
    """Name the configuration with a home's paths that ``ubp publish`` writes."""
    return home.feast / "feature_store.yaml"


def online_store(home: Home) -> str:
    """Name the online store of this run: ``sqlite``, ``redis`` or another type of Feast's.

    Parameters
    ----------
    home : Home

    Returns
    -------
    str
        ``UBP_ONLINE_STORE``, or what the template says.

    Raises
    ------
    UBPError
        If there is no such store, or the template is no configuration.
    """
    path = template(home)
    return _kind(_parse(os.path.expandvars(_read(path)), path), path)


def configuration(home: Home, expand: bool = True) -> dict[str, Any]:
    """Complete the template with a home's paths.

    Parameters
    ----------
    home : Home
    expand : bool
        False leaves the names of environment variables in the place of their values, as Feast's
        own command line reads them: for a file, which shall hold no password.

    Returns
    -------
    dict
        What ``feast.RepoConfig`` takes.

    Raises
    ------
    UBPError
        If the template is no configuration, or names no store that there is.
    """
    path = template(home)
    text = _read(path)
    expanded = _parse(os.path.expandvars(text), path)
    found = expanded if expand else _parse(text, path)
    kind = _kind(expanded, path)
    options = _options(found) if kind == _type(expanded) else {}
    found["registry"] = str(home.feast / "registry.db")
    if kind == "sqlite":
        options["path"] = str(home.feast / "online.db")
    else:
        found["project"] = _project(home, found.get("project", "ubp"))
    if kind == "redis":
        if str(options.get("connection_string")).startswith(_PATIENCE):
            del options["connection_string"]  # Ours, of an earlier publish: the environment has it.
        options.setdefault("connection_string", _connection_string(expand))
        # Otherwise Feast keeps a profile that is there as of the same cutoff, but events that came
        # late have changed it.
        options.setdefault("skip_dedup", True)
    found["online_store"] = {"type": kind, **options}
    return found


def _read(path: Path) -> str:
    if path != TEMPLATE and not path.exists():
        raise UBPError(
            f"{path} is missing: the library alone reads homes that were published; run "
            "`ubp publish` where the profiles are made"
        )
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UBPError(f"{path}: not a Feast configuration: {first_line(error)}") from None


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UBPError(f"{path}: not a Feast configuration: {first_line(error)}") from None
    if not isinstance(found, dict) or not _type(found):
        raise UBPError(f"{path}: not a Feast configuration: `online_store` is missing")
    return found


def _kind(found: dict[str, Any], path: Path) -> str:
    """Choose the online store: one of ours, or whatever Feast's longer form names."""
    written, given = _type(found), Settings.load().online_store
    kind = given or written
    longer = isinstance(found["online_store"], dict)
    if kind in _KINDS or (longer and kind == written):
        return kind
    place = "UBP_ONLINE_STORE" if given else f"{path}: online_store"
    raise UBPError(f"{place}: {kind!r} is no online store of this platform: {' or '.join(_KINDS)}")


def _type(found: dict[str, Any]) -> str:
    """Read ``online_store: redis`` and its longer form ``online_store: {type: redis, …}``."""
    online = found.get("online_store")
    return str((online.get("type") if isinstance(online, dict) else online) or "")


def _options(found: dict[str, Any]) -> dict[str, Any]:
    """Take the longer form's options."""
    online = found["online_store"]
    if not isinstance(online, dict):
        return {}
    return {name: value for name, value in online.items() if name != "type"}


def _connection_string(expand: bool) -> str:
    given = Settings.load().redis
    if given and not expand:
        given = "${UBP_REDIS}"
    return f"{_PATIENCE},{given or _REDIS}"


def _project(home: Home, prefix: str) -> str:
    """Name the home in the keys of a store that others may use, too.

    The name is drawn once and kept in the home, so that it goes along when the home is moved.
    """
    path = home.feast / "project"
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        draft.write_text(f"{prefix}_{secrets.token_hex(4)}\n")
        with suppress(FileExistsError):  # Of two processes the first one names it.
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text().strip()
