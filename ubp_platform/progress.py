"""Progress of long steps: lines in a log, or bars on a terminal."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

#: Where all steps are logged, at level INFO.
LOG = logging.getLogger("ubp")
# Otherwise Python would print a failed step on stderr where nobody has asked for logs.
LOG.addHandler(logging.NullHandler())
_SECONDS_BETWEEN_LINES = 60.0

Advance = Callable[[float], None]


class ProgressFactory(Protocol):
    """Opens one step; the value of the ``with`` statement advances it."""

    def __call__(
        self, description: str, total: float | None, unit: str
    ) -> AbstractContextManager[Advance]:
        """Open a step of ``total`` units (None: length unknown)."""
        ...


@contextmanager
def silent(description: str, total: float | None, unit: str) -> Iterator[Advance]:
    """Show nothing: for a part of a step that is shown."""
    yield lambda amount: None


@contextmanager
def logged(description: str, total: float | None, unit: str) -> Iterator[Advance]:
    """Log the end of a step, and once a minute how far it is; the default of every function.

    Records carry ``step``, ``amount``, ``total``, ``unit``, ``seconds`` and ``state``
    (``running``, ``done`` or ``failed``) as attributes.
    """
    start = last_line = time.monotonic()
    done = 0.0

    def log(state: str, level: int = logging.INFO) -> None:
        seconds = time.monotonic() - start
        share = f" ({done / total:.0%})" if total and state != "done" else ""
        rate = f", {_short(done / seconds)} {unit}/s" if done and seconds else ""
        LOG.log(
            level,
            f"{description}: {state}, {done:,.0f} {unit}{share} in {seconds:.1f} s{rate}",
            extra={
                "step": description,
                "state": state,
                "amount": done,
                "total": total,
                "unit": unit,
                "seconds": round(seconds, 3),
            },
        )

    def advance(amount: float) -> None:
        nonlocal done, last_line
        done += amount
        if time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            log("running")

    try:
        yield advance
    except BaseException:
        log("failed", logging.ERROR)
        raise
    log("done")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        text = "" if speed is None else f"{_short(speed)} {task.fields['unit']}/s"
        return Text(text.rjust(16), style="cyan", no_wrap=True)


def _short(number: float) -> str:
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{suffix}"
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"


def bars(console: Console) -> ProgressFactory:
    """Make a factory that draws rich progress bars on a terminal, and logs each step, too.

    Parameters
    ----------
    console : rich.console.Console
        The terminal. A bar whose step failed is marked with a cross.

    Returns
    -------
    ProgressFactory
    """

    @contextmanager
    def show(description: str, total: float | None, unit: str) -> Iterator[Advance]:
        columns = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.percentage:>3.0f}%"),
            _RateColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with (
            logged(description, total, unit) as log,
            Progress(*columns, console=console, refresh_per_second=4) as progress,
        ):
            task = progress.add_task(description.ljust(34), total=total, unit=unit)

            def advance(amount: float) -> None:
                log(amount)
                progress.advance(task, amount)

            try:
                yield advance
            except BaseException:
                progress.columns = (TextColumn("[red]✗"), *columns[1:])
                raise
            if not total:
                done = progress.tasks[0].completed
                progress.update(task, total=done or 1, completed=done or 1)

    return show
