"""What an engine is, and the one that works in this process."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(ABC):
    """Does the same work on many items.

    ``work`` is called once an item, on any machine and maybe twice, if one fails meanwhile: it
    returns what it finds and changes nothing. It is sent to each worker once, and may keep there
    what it has loaded. What ``str`` makes of an item names it in messages.
    """

    #: Whether workers read the lake; else the one process reads the warehouse.
    reads_lake: bool = False

    @abstractmethod
    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items, of which only some are taken in advance."""

    @abstractmethod
    def as_finished(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result as soon as there is one."""


class HereEngine(Engine):
    """Works in this process, one item after the other."""

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results."""
        return map(work, items)

    def as_finished(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result."""
        return ((item, work(item)) for item in items)


#: The default of every step.
HERE: Engine = HereEngine()
