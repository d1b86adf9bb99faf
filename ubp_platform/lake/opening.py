"""A home's lake: where it lies, and bringing it up to date before it is read."""

from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.lake.manifest import NAME, Manifest
from ubp_platform.lake.place import Place
from ubp_platform.lake.writing import write_lake
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.settings import Settings
from ubp_platform.warehouse import Warehouse


def place_of(home: Home) -> Place:
    """Return where a home's lake lies: the setting, or a directory of the home."""
    return Place(Settings.load().lake or str(home.lake))


def note_place(home: Home, place: Place) -> None:
    """Remember a place outside the home: who is forgotten later leaves it, too."""
    known = _noted(home)
    if place.url not in (*known, str(home.lake)):
        write_text(home.lakes, "".join(f"{url}\n" for url in (*known, place.url)))


def places_with_a_lake(home: Home) -> list[Place]:
    """Return all places where a lake of the home lies.

    Raises
    ------
    StoreUnavailable
        If one does not answer.
    """
    urls = dict.fromkeys([place_of(home).url, str(home.lake), *_noted(home)])
    return [place for place in map(Place, urls) if NAME in place.names()]


def _noted(home: Home) -> list[str]:
    return home.lakes.read_text("utf-8").splitlines() if home.lakes.exists() else []


def update_lake(
    home: Home, warehouse: Warehouse, progress: ProgressFactory = logged
) -> tuple[Place, Manifest]:
    """Bring the lake of a home up to date with its warehouse, and return it."""
    place = place_of(home)
    note_place(home, place)
    return place, write_lake(place, warehouse, progress).manifest
