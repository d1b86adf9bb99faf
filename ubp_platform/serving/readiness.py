"""Whether a server can answer: asked by anybody, so that it costs little and tells nothing."""

import asyncio
import time

from fastapi.concurrency import run_in_threadpool

from ubp_platform.errors import UBPError
from ubp_platform.serving.guard import LOG
from ubp_platform.serving.reading import Reader

#: Seconds for which an answer holds.
_HOLDS = 1.0


class Readiness:
    """Asks the store at most once a second, however many ask.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._one = asyncio.Lock()
        self._at, self._ready = -_HOLDS, False

    async def ask(self) -> bool:
        """Return whether the store answers, and has the served version."""
        async with self._one:
            if time.monotonic() - self._at > _HOLDS:
                self._ready = await run_in_threadpool(self._look)
                self._at = time.monotonic()
        return self._ready

    def _look(self) -> bool:
        try:
            self._reader.store().publication()
        except UBPError as error:
            LOG.warning("not ready: %s", error)
            return False
        return True
