"""Progress of a run: bars on a terminal, lines in a batch job, events for machines, and a log."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

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
from rich.table import Table
from rich.text import Text

from engine.errors import Finding, Level
from engine.formatting import counted, duration, pace, plural, verb
from engine.storage.paths import OutPath, appended
from pipelines.runfile.redact import redacted_text

if TYPE_CHECKING:
    from engine.execution.tasks import Progress as Callback

EVENTS, LOG = "events.jsonl", "gelisol.log"
_LOG_WIDTH = 160
_LINE_EVERY_S = 10.0
_EVENT_EVERY_S = 2.0
logger = logging.getLogger("gelisol")


class _Rate(ProgressColumn):
    """Rate of the work."""

    def __init__(self, noun: str):
        super().__init__()
        self._noun = noun

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(pace(speed, self._noun) if speed else "–", style="progress.data.speed")


class Display:
    """Progress of the stages of a run.

    Parameters
    ----------
    style : str
        bars; lines: one every ten seconds; json: events on standard output and nothing else; auto: bars on a terminal,
        else lines.
    """

    def __init__(self, console: Console | None = None, style: str = "auto"):
        self.console = console or _standard_error()
        self.style = style if style != "auto" else "bars" if self.console.is_terminal else "lines"
        self._events: IO[str] | None = None
        self.steps: dict[str, dict[str, Any]] = {}
        """Step → its seconds, and the pieces of work that were done before and in all; since `forget_steps`."""

    @contextmanager
    def recorded(self, directory: OutPath, level: str = "INFO") -> Iterator[None]:
        """Also write `events.jsonl` and `gelisol.log` in a results folder, with Dask's warnings."""
        raises, logging.raiseExceptions = logging.raiseExceptions, False  # a full disk stops the run, not its log
        dask, before = logging.getLogger("distributed"), logger.level
        logger.setLevel(level)
        with ExitStack() as stack:
            handler = logging.FileHandler(stack.enter_context(appended(directory / LOG)), encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
            of_dask = _Forward(handler)
            events = stack.enter_context(appended(directory / EVENTS))
            self._events = stack.enter_context(events.open("a", encoding="utf-8"))
            logger.addHandler(handler)
            dask.addHandler(of_dask)
            try:
                yield
            finally:
                self._events = None
                dask.removeHandler(of_dask)
                logger.removeHandler(handler)
                logger.setLevel(before)
                handler.close()
                logging.raiseExceptions = raises

    def say(self, what: str | Finding) -> None:
        """Print one line: plain information, or a finding."""
        warns = isinstance(what, Finding) and what.level is not Level.NOTE
        level = logging.WARNING if warns else logging.INFO
        text = redacted_text(str(what))
        if self.style != "json":
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self.log(text, level)
        self.event("said", level=logging.getLevelName(level).lower(), text=text)

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Write one line to the log only."""
        logger.log(level, "%s", redacted_text(text))

    def show(self, table: Table) -> None:
        """Show a table, on the console and in the log."""
        if self.style != "json":
            self.console.print(table)
        plain = Console(width=_LOG_WIDTH, file=io.StringIO())
        plain.print(table)
        assert isinstance(plain.file, io.StringIO)
        self.log(plain.file.getvalue().rstrip(), logging.WARNING)

    def event(self, event: str, **facts: Any) -> None:
        """Write one event for machines."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts})
        if self._events is not None:
            with suppress(OSError):  # a full disk stops the run, not its record
                self._events.write(line + "\n")
                self._events.flush()
        if self.style == "json":
            print(line, flush=True)

    @contextmanager
    def stage(self, name: str, noun: str) -> "Iterator[Callback]":
        """Show a piece of work; yields the callback that moves its bar. `noun` is one of the pieces, e.g. block."""
        step = _Step(self, name, plural(noun))
        if self.style == "bars":
            with Progress(
                SpinnerColumn(),
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(plural(noun)),
                _Rate(noun),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            ) as bars:
                task = bars.add_task(name, total=None)
                yield step.then(lambda done, total: bars.update(task, completed=done, total=total))
        else:
            yield step.then(_Lines(self, name, noun))
        seconds = step.end()
        if step.total and step.before:
            self.say(
                f"{name}: {step.before:,} of {counted(step.total, noun)} {verb(step.before, 'was', 'were')} done before"
            )
        self.say(f"{name}: done in {seconds:.1f} s")

    def forget_steps(self) -> dict[str, dict[str, Any]]:
        """Return the content of `steps` and empty it."""
        steps, self.steps = self.steps, {}
        return steps


def _standard_error() -> Console:
    """Return a console on standard error, without a terminal wide enough for tables to be read in a log."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=_LOG_WIDTH)


class _Forward(logging.Handler):
    """Warnings of Dask to the log; a handler of its own kind, since Dask silences handlers of streams."""

    def __init__(self, log: logging.Handler):
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.handle(record)


class _Step:
    """Counts what was done before, and sends events."""

    def __init__(self, display: Display, name: str, unit: str):
        self._display, self._name, self._unit = display, name, unit
        self._started = time.monotonic()
        self._told = float("-inf")
        self.before: int | None = None
        self.total = 0
        display.event("step_started", step=name, unit=unit)

    def then(self, show: Callable[[int, int], None]) -> "Callback":
        def update(done: int, total: int) -> None:
            if self.before is None:
                self.before = done
            self.total = total
            now = time.monotonic()
            if now - self._told >= _EVENT_EVERY_S or done == total:
                self._told = now
                self._display.event("progress", step=self._name, unit=self._unit, done=done, total=total)
            show(done, total)

        return update

    def end(self) -> float:
        seconds = time.monotonic() - self._started
        facts: dict[str, Any] = {"seconds": round(seconds, 3)}
        if self.total:
            facts |= {"unit": self._unit, "total": self.total, "done_before": self.before}
        self._display.steps[self._name] = facts
        self._display.event("step_done", step=self._name, **facts)
        return seconds


class _Lines:
    """A line every ten seconds, for logs and batch jobs."""

    def __init__(self, display: Display, name: str, noun: str):
        self._display, self._name, self._noun = display, name, noun
        self._started = self._last = time.monotonic()
        self._before: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._before is None:
            self._before = done
        if now - self._last < _LINE_EVERY_S or done <= self._before:
            return
        self._last = now
        rate = (done - self._before) / (now - self._started)
        left = (total - done) / rate
        self._display.say(
            f"{self._name}: {done:,} of {counted(total, self._noun)}, {pace(rate, self._noun)}, {duration(left)} left"
        )
