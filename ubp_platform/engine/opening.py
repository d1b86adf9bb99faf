"""Opening the engine that a command or the settings name."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib.util import find_spec

from ubp_platform.choices import EngineName
from ubp_platform.engine.base import HERE, Engine, Item, Result
from ubp_platform.errors import UBPError
from ubp_platform.settings import Settings


def open_engine(name: EngineName | None = None, address: str | None = None) -> Engine:
    """Return an engine.

    Parameters
    ----------
    name : {"local", "ray"}, optional
        By default what the settings say; an address alone means Ray.
    address : str, optional
        Of a Ray cluster.

    Raises
    ------
    UBPError
        If Ray is not installed, or an address is given without it. Whether a cluster answers shows
        when there is work for it.
    """
    chosen = name or ("ray" if address else Settings.load().engine)
    if chosen == "local":
        if address:
            raise UBPError("--address is that of a Ray cluster: add --engine ray")
        return HERE
    if find_spec("ray") is None:
        raise UBPError(
            "--engine ray needs the package ray, an extra: pip install 'ubp-platform[ray]'"
        )
    return _RayWhenNeeded(address)


class _RayWhenNeeded(Engine):
    """A Ray engine that starts with its first work: a command may have none."""

    reads_lake = True

    def __init__(self, address: str | None) -> None:
        self._address = address

    @cached_property
    def _engine(self) -> Engine:
        from ubp_platform.engine.ray_engine import RayEngine

        return RayEngine(self._address)

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items."""
        return self._engine.in_order(work, items)

    def as_finished(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result as soon as there is one."""
        return self._engine.as_finished(work, items)
