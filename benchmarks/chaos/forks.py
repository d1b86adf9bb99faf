"""Commands in forks of a process that has everything imported: a start costs milliseconds."""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

HUNG = 120.0
"""Seconds after which a command counts as hung, and is killed."""


@dataclass(frozen=True)
class Outcome:
    """What a process left: exit code (a signal is negative), streams, seconds."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def error(self) -> str:
        """The error that ended a command, without the log before it."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def preload() -> None:
    """Import what commands import; nothing here may start a thread."""
    for name in ("train", "encode", "publish", "ingest", "retrieve", "evaluate", "export"):
        __import__(f"pipelines.{name}")
    for name in ("blocks", "explain", "quarantine", "status", "clients", "refresh"):
        __import__(f"pipelines.{name}")
    for name in ("align", "forget"):
        __import__(f"pipelines.{name}")
    for name in ("deliveries", "profiles", "score_tables", "status"):
        __import__(f"pipelines.console.{name}")
    from tqdm import tqdm

    from ubp_platform.blocks.registry import block_class

    for name in ("counters", "ials_categories"):
        block_class(name)
    # The semaphore of tqdm's own lock would be left behind by a process that is killed.
    tqdm.set_lock(RLock())
    os.environ["OMP_NUM_THREADS"] = "1"
    _forget_recent_writers()


def _forget_recent_writers() -> None:
    """Let debris count as abandoned at once: here nobody is between creating and locking a file."""
    from ubp_platform import files

    if hasattr(files, "_SECONDS_TO_LOCK"):
        files._SECONDS_TO_LOCK = 0.0


def start(function: Callable[..., object], *arguments: object, streams: Path | None = None) -> int:
    """Fork; the child calls the function and exits with 0, or 1 after an exception."""
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        return child
    code = 1
    try:
        os.setsid()
        for number, name in ((1, "out"), (2, "err")):
            place = os.devnull if streams is None else str(streams / name)
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, number)
        function(*arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def call(function: Callable[..., object], *arguments: object, kill_after: float = HUNG) -> Outcome:
    """Call a function in a fork, which gets kill -9 after some seconds."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        streams = Path(directory)
        child = start(function, *arguments, streams=streams)
        code = wait(child, begin + kill_after)
        out, err = (_text(streams / name) for name in ("out", "err"))
    return Outcome(code, out, err, time.perf_counter() - begin)


def wait(child: int, until: float) -> int:
    """Wait for a child that gets kill -9 at some time; return its exit code."""
    while time.perf_counter() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    # With what it has started itself; it is no leader yet right after the fork.
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""


def ubp(*arguments: object) -> None:
    """Run ``ubp`` as the shell does."""
    import cli

    sys.argv = ["ubp", *map(str, arguments)]
    cli.main()


def run(arguments: Sequence[object], kill_after: float = HUNG) -> Outcome:
    """Run ``ubp`` in a fork."""
    return call(ubp, *arguments, kill_after=kill_after)
