"""Other processes that begin with everything imported: importing Feast alone takes seconds."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import RLock

from tqdm import tqdm

# A server imports these once and starts no thread; each process is a fork of it.
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.preloaded"])


@dataclass(frozen=True)
class Other:
    """A call of a module's function in another process.

    Parameters
    ----------
    process : BaseProcess
    heard : Path
        What it writes to stderr.
    """

    process: BaseProcess
    heard: Path

    def wait_for(self, words: str) -> None:
        """Wait until these words are among what it has said."""
        end = time.monotonic() + 120
        while words not in self.heard.read_text():
            assert self.process.is_alive(), self.heard.read_text()
            assert time.monotonic() < end, self.heard.read_text()
            time.sleep(0.02)

    def exit_code(self) -> int:
        """Wait for its end; a signal that ended it is negative."""
        self.process.join(120)
        assert self.process.exitcode is not None, self.heard.read_text()
        return self.process.exitcode


def start(heard: Path, function: Callable[..., object], *arguments: object) -> Other:
    """Call a module's function in another process whose stderr is a new file."""
    heard.touch()
    arguments = (dict(os.environ), function, arguments, heard)
    process = _FORKS.Process(target=_call, args=arguments)
    process.start()
    return Other(process, heard)


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


def ubp(*arguments: object) -> None:
    """Run a command line as a process of its own does."""
    import cli

    sys.argv = ["ubp", *map(str, arguments)]
    cli.main()


def _call(
    environment: dict[str, str],
    function: Callable[..., object],
    arguments: tuple,
    heard: Path | None = None,
) -> None:
    if heard is not None:
        sys.stderr = heard.open("w", buffering=1)
        logging.captureWarnings(False)  # what Feast imports turns it on
    # Python leaves Ctrl-C ignored where a shell started it in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The server has that of the test that started it.
    os.environ.clear()
    os.environ.update(environment)
    # The semaphore of tqdm's own lock would be left behind by a process that is killed.
    tqdm.set_lock(RLock())
    function(*arguments)
