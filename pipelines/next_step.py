"""The command that is to be run next."""

from typing import Any

from ubp_platform.home import Home
from ubp_platform.profile.listing import inspect_versions
from ubp_platform.store.served import Served


def as_argument(time: str) -> str:
    """Return a time as it is given on a command line: a day, where it is a midnight."""
    return time.removesuffix("+00:00").removesuffix("T00:00:00")


def next_step(status: dict[str, Any]) -> str:
    """Return the command, from what :func:`pipelines.status.status` found."""
    if status["forgotten"] and status["forgotten"]["unfinished"]:
        return "ubp forget"
    following, held_back = _following(status), status["held_back"]
    return held_back["look"] if held_back and following.startswith("ubp publish") else following


def _following(status: dict[str, Any]) -> str:
    warehouse, profiles, served = status["warehouse"], status["profiles"], status["served"]
    if warehouse and warehouse["busy"]:
        return "ubp status, when the other process has finished"
    if warehouse is None or not warehouse["last_event"]:
        return "ubp ingest SOURCE"
    if not profiles:
        return "ubp train --resume" if status["cut_off"] else "ubp train"
    newest = [one for one in profiles if not one["aligned_with"]][-1]
    if not served:
        return "ubp publish"
    if served["version"] != newest["version"] and newest["created_at"] >= served["published_at"]:
        return "ubp publish"
    mine = next((found for found in profiles if found["version"] == served["version"]), newest)
    # An older version is served on purpose: it was published after the newest was made.
    option = "" if mine is newest else f" --profile-version {mine['version']}"
    last = mine["cutoffs"][-1] if mine["cutoffs"] else ""
    if last in warehouse["stale"].get(mine["version"], []) or last < warehouse["complete_until"]:
        # The default cutoff, unless one within a day that has begun since was encoded.
        of = f" --cutoff {as_argument(last)}" if last > warehouse["complete_until"] else ""
        return f"ubp refresh{of}{option} && ubp publish{option}"
    later = last > served["cutoff"]
    if later or served["outdated"] or served["online_store"] != status["online_store"]:
        return f"ubp publish{option}"
    if served["late_events"]:
        return f"ubp refresh{option} && ubp publish{option}"
    return "ubp profile CLIENT_ID"


def next_after_delivery(home: Home) -> str:
    """Return the command that takes a delivery in, for the version that is served."""
    existing, _ = inspect_versions(home)
    if not existing:
        return "ubp train"
    served = Served.read_if_whole(home)
    # Whoever served an older version than the newest did so on purpose.
    option = ""
    if served and served.version != existing[-1].name:
        if existing[-1].description.created_at.isoformat() >= served.published_at:
            return "ubp publish"
        option = f" --profile-version {served.version}"
    return f"ubp refresh{option} && ubp publish{option}"
