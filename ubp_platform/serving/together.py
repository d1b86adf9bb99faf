"""Lookups of several requests at once, where each question to the store takes a thread."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fastapi.concurrency import run_in_threadpool

from ubp_platform.errors import NotOnline, StoreUnavailable
from ubp_platform.serving.reading import Reading
from ubp_platform.store.entities import ClientId

#: Requests of one question to the store.
_MOST = 1000
#: The version that is asked for, and the blocks.
Kind = tuple[str | None, tuple[str, ...]]
Read = Callable[[Sequence[ClientId], str | None, Sequence[str]], Reading]


@dataclass(frozen=True)
class _Asked:
    ids: Sequence[ClientId]
    answer: asyncio.Future[Reading]


class Together:
    """Asks a store for the clients of all requests that have come while it answered the last.

    A thread and a round trip cost more than a row, so that a busy server asks for many rows with
    one of each.

    Parameters
    ----------
    read : callable
        Looks clients up; called in a thread.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: dict[Kind, list[_Asked]] = {}
        self._tasks: dict[Kind, asyncio.Task[None]] = {}

    async def read(
        self, ids: Sequence[ClientId], version: str | None, blocks: Sequence[str]
    ) -> Reading:
        """Look clients up, together with those of others; raises as ``read`` does."""
        kind = version, tuple(blocks)
        asked = _Asked(ids, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(kind, []).append(asked)
        if kind not in self._tasks:
            self._tasks[kind] = asyncio.create_task(self._answer(kind))
        return await asked.answer

    async def _answer(self, kind: Kind) -> None:
        try:
            while waiting := self._waiting.get(kind):
                some = waiting[:_MOST]
                del waiting[:_MOST]
                await self._ask(some, *kind)
        finally:
            self._waiting.pop(kind, None)
            del self._tasks[kind]

    async def _ask(self, some: list[_Asked], version: str | None, blocks: Sequence[str]) -> None:
        ids = [one for asked in some for one in asked.ids]
        try:
            found = await run_in_threadpool(self._read, ids, version, blocks)
        except Exception as error:
            if len(some) > 1 and not isinstance(error, StoreUnavailable | NotOnline):
                for asked in some:  # it is the fault of one of them
                    await self._ask([asked], version, blocks)
                return
            for asked in some:
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            return
        start = 0
        for asked in some:
            end = start + len(asked.ids)
            if not asked.answer.done():  # the client has gone
                asked.answer.set_result(replace(found, profiles=found.profiles[start:end]))
            start = end
