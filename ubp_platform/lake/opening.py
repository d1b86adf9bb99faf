"""A home's lake: where it lies, and bringing it up to date before it is read."""

import secrets
from pathlib import Path

from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.place import Place
from ubp_platform.lake.writing import Written, remove_lake, write_lake
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.settings import Settings
from ubp_platform.warehouse import Warehouse


def address_of(home: Home) -> str:
    """Return where a home's lake lies: the setting, or a directory of the home."""
    return Settings.load().lake or str(home.lake)


def place_of(home: Home) -> Place:
    """Return the place of a home's lake; UBPError if it is none."""
    place = Place(address_of(home))
    if place.is_local and Path(place.url).is_file():
        raise UBPError(f"a lake is a directory or an address (UBP_LAKE), and {place} is a file")
    return place


def write_again(home: Home, warehouse: Warehouse, progress: ProgressFactory) -> list[UBPError]:
    """Bring all lakes of a home up to date, as when clients have been forgotten.

    A lake of a warehouse without events is removed, and so is one that was never finished; a
    damaged one is written anew.

    Returns
    -------
    list of UBPError
        Lakes that do not answer; the others are done.
    """
    failed = []
    for url, owner in known_lakes(home).items():
        try:
            place = Place(url)
            if place.is_used:
                _write_again(place, owner, warehouse, progress)
        except UBPError as error:
            failed.append(
                UBPError(
                    f"{error}. If there is no lake at {url} any more, remove its line from "
                    f"{home.lakes}"
                )
            )
    return failed


def _write_again(place: Place, owner: str, warehouse: Warehouse, progress: ProgressFactory) -> None:
    try:
        before = Manifest.read(place)
    except DamagedFile:
        write_lake(place, warehouse, progress, anew=True, owner=owner)
        return
    if before and before.owner != owner:
        return  # another home has replaced it
    if before and warehouse.clients():
        write_lake(place, warehouse, progress, owner=owner)
    else:
        remove_lake(place)


def places_with_a_lake(home: Home) -> list[Place]:
    """Return all places where a lake of the home lies.

    Raises
    ------
    StoreUnavailable
        If one does not answer.
    """
    return [place for place in map(Place, known_lakes(home)) if place.is_used]


def known_lakes(home: Home) -> dict[str, str]:
    """Return the addresses of a home's lakes, and what it calls each."""
    lines = home.lakes.read_text("utf-8").splitlines() if home.lakes.exists() else []
    noted = [line.partition(" ") for line in lines]
    return {str(home.lake): ""} | {url: owner for owner, _, url in noted}


def _note(home: Home, place: Place) -> str:
    """Remember a place outside the home, and return what the home calls the lake there."""
    known = known_lakes(home)
    if place.url not in known:
        known[place.url] = secrets.token_hex(8)
        lines = [f"{owner} {url}\n" for url, owner in known.items() if owner]
        write_text(home.lakes, "".join(lines))
    return known[place.url]


def update_lake(
    home: Home, warehouse: Warehouse, progress: ProgressFactory = logged
) -> tuple[Place, Manifest]:
    """Bring the lake of a home up to date with its warehouse, and return it."""
    place = place_of(home)
    return place, write_own(home, place, warehouse, progress).manifest


def write_own(
    home: Home,
    place: Place,
    warehouse: Warehouse,
    progress: ProgressFactory = logged,
    *,
    bucket_clients: int | None = None,
    anew: bool = False,
) -> Written:
    """Write the lake of a home as :func:`~ubp_platform.lake.writing.write_lake` does.

    Raises
    ------
    UBPError
        If another home's lake lies there, unless it is written anew.
    """
    before = None if anew else Manifest.read(place)
    if before and before.owner != known_lakes(home).get(place.url):
        raise UBPError(
            f"the lake at {place} is of another home: set UBP_LAKE to a place of its own, or "
            "replace it with `ubp lake --anew`"
        )
    owner = _note(home, place)
    return write_lake(
        place, warehouse, progress, bucket_clients=bucket_clients, anew=anew, owner=owner
    )
