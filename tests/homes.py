"""Homes that several tests start from."""

import shutil
from pathlib import Path

from ubp_platform.home import Home
from ubp_platform.store.feature_store import write_configuration, write_registry
from ubp_platform.store.served import Served


def copied(home: Home, directory: Path) -> Home:
    """Copy a published home, whose configuration then names the copy's paths."""
    found = Home(home=shutil.copytree(home.root, directory / "home"))
    write_configuration(found)
    write_registry(found, Served.read(found).publishes)
    return found
