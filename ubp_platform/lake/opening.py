"""A home's lake: where it lies, and bringing it up to date before it is read."""

from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.lake.manifest import NAME, Manifest
from ubp_platform.lake.place import Place
from ubp_platform.lake.writing import Written, remove_lake, write_lake
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


def write_again(home: Home, warehouse: Warehouse, progress: ProgressFactory) -> None:
    """Bring all lakes of a home up to date, as when clients have been forgotten.

    One of a warehouse without events is removed, a damaged one written anew.
    """
    for place in places_with_a_lake(home):
        try:
            if not _is_own(home, place, warehouse):
                continue
            if warehouse.clients():
                write_lake(place, warehouse, progress)
            else:
                remove_lake(place)
        except DamagedFile:
            write_lake(place, warehouse, progress, anew=True)


def _is_own(home: Home, place: Place, warehouse: Warehouse) -> bool:
    """Whether there is no lake but one of this warehouse: with a batch of it."""
    before = None if place.url == str(home.lake) else Manifest.read(place)
    rows = warehouse.connection.execute("SELECT batch_id, landed_at FROM batch").fetchall()
    own = {(str(batch), at.isoformat()) for batch, at in rows}
    return before is None or bool(own & {*before.batches.items()})


def places_with_a_lake(home: Home) -> list[Place]:
    """Return all places where a lake of the home lies, or lay.

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
    if not (anew or _is_own(home, place, warehouse)):
        raise UBPError(
            f"the lake at {place} is of another warehouse: set UBP_LAKE to a place of its own, or "
            "replace it with `ubp lake --anew`"
        )
    note_place(home, place)
    return write_lake(place, warehouse, progress, bucket_clients=bucket_clients, anew=anew)
