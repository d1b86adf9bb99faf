"""A home's lake: where it lies, and bringing it up to date before it is read."""

from ubp_platform.home import Home
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.place import Place
from ubp_platform.lake.writing import write_lake
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.settings import Settings
from ubp_platform.warehouse import Warehouse


def place_of(home: Home) -> Place:
    """Return where a home's lake lies: the setting, or a directory of the home."""
    return Place(Settings.load().lake or str(home.lake))


def update_lake(
    home: Home, warehouse: Warehouse, progress: ProgressFactory = logged
) -> tuple[Place, Manifest]:
    """Bring the lake of a home up to date with its warehouse, and return it."""
    place = place_of(home)
    return place, write_lake(place, warehouse, progress).manifest
