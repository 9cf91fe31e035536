"""What the user sees while it runs: bars with rate and time left on a terminal, plain lines in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from engine.tasks import Progress as Callback

_LINE_EVERY_S = 10.0


class _Rate(ProgressColumn):
    """Finished tasks per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g}/s" if speed else "–/s", style="progress.data.speed")


class Display:
    """Progress of the stages of a run."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        """One line of plain information."""
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Callback]:
        """Show a piece of work; yields the callback that moves its bar. `unit` is what is counted, e.g. blocks."""
        started = time.monotonic()
        if self.console.is_terminal:
            with Progress(
                SpinnerColumn(),
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit),
                _Rate(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            ) as bars:
                task = bars.add_task(name, total=None)
                yield lambda done, total: bars.update(task, completed=done, total=total)
        else:
            yield _Lines(self, name, unit)
        self.say(f"{name}: done in {time.monotonic() - started:.1f} s")


class _Lines:
    """A line every ten seconds, for logs and batch jobs."""

    def __init__(self, display: Display, name: str, unit: str):
        self._display, self._name, self._unit = display, name, unit
        self._started = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S or not done:
            return
        self._last = now
        rate = done / (now - self._started)
        left = (total - done) / rate
        self._display.say(f"{self._name}: {done}/{total} {self._unit}, {rate:.3g}/s, {left:.0f} s left")
