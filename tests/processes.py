"""Other processes that begin with everything imported: importing Feast alone takes seconds."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from threading import RLock

from tqdm import tqdm

# A server imports these once and starts no thread; each process is a fork of it.
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["cli", "pipelines.ingest", "pipelines.publish", "pipelines.train"])


def exit_code(function: Callable[..., object], *arguments: object) -> int:
    """Call a module's function in another process; a signal that ends it is negative."""
    process = _FORKS.Process(target=_call, args=(dict(os.environ), function, arguments))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def die(*arguments: object, **options: object) -> None:
    """Do what kill -9 does, in the middle of whatever calls this."""
    os.kill(os.getpid(), signal.SIGKILL)


def _call(environment: dict[str, str], function: Callable[..., object], arguments: tuple) -> None:
    # The server has that of the test that started it.
    os.environ.clear()
    os.environ.update(environment)
    # The semaphore of tqdm's own lock would be left behind by a process that is killed.
    tqdm.set_lock(RLock())
    function(*arguments)
