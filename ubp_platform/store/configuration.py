"""Feast's configuration of a home: ``feature_repo/feature_store.yaml``, and the environment."""

import os
import secrets
from contextlib import suppress
from typing import Any

import yaml

from ubp_platform.errors import UBPError, first_line
from ubp_platform.home import PROJECT_ROOT, Home

REPO = PROJECT_ROOT / "feature_repo"
TEMPLATE = REPO / "feature_store.yaml"
_KINDS = ("sqlite", "redis")
_REDIS = "localhost:6379"
# The user's options come behind these and win. Without them, minutes pass at a host that drops
# what it is sent.
_PATIENCE = "socket_connect_timeout=5,socket_timeout=10"


def online_store() -> str:
    """Name the online store of this run: ``sqlite``, ``redis`` or another type of Feast's.

    Returns
    -------
    str
        ``UBP_ONLINE_STORE``, or what ``feature_repo/feature_store.yaml`` says.

    Raises
    ------
    UBPError
        If there is no such store, or the file is no configuration.
    """
    return _kind(_parse(os.path.expandvars(_read())))


def configuration(home: Home, expand: bool = True) -> dict[str, Any]:
    """Complete the configuration of ``feature_repo/`` with a home's paths.

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
        If the file is no configuration, or names no store that there is.
    """
    text = _read()
    template = _parse(os.path.expandvars(text))
    found = template if expand else _parse(text)
    kind = _kind(template)
    options = _options(found) if kind == _type(template) else {}
    found["registry"] = str(home.feast / "registry.db")
    if kind == "sqlite":
        options["path"] = str(home.feast / "online.db")
    else:
        found["project"] = _project(home, found.get("project", "ubp"))
    if kind == "redis":
        options.setdefault("connection_string", _connection_string(expand))
        # Otherwise Feast keeps a profile that is there as of the same cutoff, but events that came
        # late have changed it.
        options.setdefault("skip_dedup", True)
    found["online_store"] = {"type": kind, **options}
    return found


def _read() -> str:
    try:
        return TEMPLATE.read_text("utf-8")
    except OSError as error:
        raise UBPError(f"{TEMPLATE}: not a Feast configuration: {first_line(error)}") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UBPError(f"{TEMPLATE}: not a Feast configuration: {first_line(error)}") from None
    if not isinstance(found, dict) or not _type(found):
        raise UBPError(f"{TEMPLATE}: not a Feast configuration: `online_store` is missing")
    return found


def _kind(template: dict[str, Any]) -> str:
    """Choose the online store: one of ours, or whatever Feast's longer form names."""
    written, given = _type(template), os.environ.get("UBP_ONLINE_STORE")
    kind = given or written
    longer = isinstance(template["online_store"], dict)
    if kind in _KINDS or (longer and kind == written):
        return kind
    place = "UBP_ONLINE_STORE" if given else f"{TEMPLATE}: online_store"
    raise UBPError(f"{place}: {kind!r} is no online store of this platform: {' or '.join(_KINDS)}")


def _type(template: dict[str, Any]) -> str:
    """Read ``online_store: redis`` and its longer form ``online_store: {type: redis, …}``."""
    online = template.get("online_store")
    return str((online.get("type") if isinstance(online, dict) else online) or "")


def _options(template: dict[str, Any]) -> dict[str, Any]:
    """Take the longer form's options."""
    online = template["online_store"]
    if not isinstance(online, dict):
        return {}
    return {name: value for name, value in online.items() if name != "type"}


def _connection_string(expand: bool) -> str:
    given = os.environ.get("UBP_REDIS")
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
