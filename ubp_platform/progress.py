"""How long work tells that it is alive: a progress bar with a rate, or nothing."""

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

Advance = Callable[[float], None]


class ProgressFactory(Protocol):
    """Opens one bar; the value of the ``with`` statement advances it."""

    def __call__(
        self, description: str, total: float | None, unit: str
    ) -> AbstractContextManager[Advance]:
        """Open a bar of ``total`` units (None: length unknown)."""
        ...


@contextmanager
def silent(description: str, total: float | None, unit: str) -> Iterator[Advance]:
    """Show nothing; the default of every library function."""
    yield lambda amount: None


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
    """Make a factory that draws rich progress bars on ``console``.

    Parameters
    ----------
    console : rich.console.Console
        Where to draw. When it is no terminal, each bar leaves one line. A bar whose work ended
        with an error is marked with a cross.

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
        with Progress(*columns, console=console, refresh_per_second=4) as progress:
            task = progress.add_task(description.ljust(34), total=total, unit=unit)
            try:
                yield lambda amount: progress.advance(task, amount)
            except BaseException:
                progress.columns = (TextColumn("[red]✗"), *columns[1:])
                raise
            if not total:
                done = progress.tasks[0].completed
                progress.update(task, total=done or 1, completed=done or 1)

    return show
