"""`gelisol status`: how far a run is, from its folder alone."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.errors import Finding, InputError
from engine.execution.ledger import Ledger
from engine.execution.lock import Holding, held
from engine.execution.versions import known_versions
from engine.formatting import counted, duration, singular
from engine.storage.paths import OutPath, read_tail, require_access
from pipelines import STAGES
from pipelines.progress import EVENTS, LOG
from pipelines.run.stage_versions import version_notes
from pipelines.soil_carbon.results.headline import Headline, read_headline

_TAIL = 1_000_000
"""Bytes at the end of the events that are looked at."""
_LOOKS = 5
"""So often a folder is looked at anew in which runs begin and end."""


@dataclass(frozen=True)
class Status:
    """A run's state.

    Attributes
    ----------
    state : str
        running, interrupted (its process is gone), failed, done (as far as it was asked to go), or never started.
    owner : str
        Who runs it, or ran it when it was interrupted.
    step : dict
        The piece of work of the last event: step, done, total, unit; empty where none is under way.
    stages : dict
        Stage → done, or to do.
    last : str
        Time of the last event.
    text : str
        Why it failed.
    headline : Headline or None
        Totals and verdict of a run whose report is written.
    versions : list of str
        What was done with other versions than those of this environment.
    """

    directory: str
    state: str
    owner: str
    stages: dict[str, str]
    step: dict[str, Any] = field(default_factory=dict)
    last: str = ""
    text: str = ""
    headline: Headline | None = None
    versions: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """Return the status as JSON values, for machines."""
        return json.dumps(asdict(self), indent=1)

    def show(self, console: Console) -> None:
        """Show the status on a console, for reading."""
        console.print(self.directory, markup=False, highlight=False, soft_wrap=True)
        table = Table("stage", "state")
        for stage, state in self.stages.items():
            table.add_row(stage, state)
        console.print(table)
        lines = [f"{self.state}{f': {self.owner}' if self.owner else ''}"]
        if self.step:
            done, total = self.step.get("done"), self.step.get("total")
            how_far = f", {done:,} of {counted(total, singular(self.step['unit']))}" if total else ""
            lines.append(f"{'now' if self.state == 'running' else 'was'} at {self.step['step']}{how_far}")
        if self.last:
            lines.append(f"last sign of life {_ago(self.last)} ago; log: {self.directory}/{LOG}")
        headline = self.headline.lines() if self.headline else ()
        for line in (*lines, self.text, *headline, *(str(Finding.warning(note)) for note in self.versions)):
            if line:
                console.print(line, markup=False, highlight=False, soft_wrap=True)


def read_status(directory: OutPath) -> Status:
    """Read the state of the run in a results folder.

    Raises
    ------
    InputError
        If the folder is none.
    """
    require_access(directory)
    holding, ledger, events = _seen(directory)
    if not (holding or events or (directory / "ledger.json").exists()):
        raise InputError(f"{directory}: no run has worked here; give the results folder of `gelisol run`")
    step: dict[str, Any] = {}
    stage = last = text = ""
    ended = "interrupted"
    for event in events:
        last = event["time"]
        match event["event"]:
            case "run_started":
                step, stage, text, ended = {}, "", "", "interrupted"
            case "stage_started":
                stage = event["stage"]
            case "stage_done":
                stage = ""
            case "step_started" | "progress":
                step = {k: event[k] for k in ("step", "unit", "done", "total") if k in event}
            case "step_done":
                step = {}
            case "run_failed":
                ended, text = "failed", event["text"]
            case "run_done":
                ended, step = "done", {}
    running = holding is not None and holding.alive
    if running and ended != "interrupted":  # the end of the run before: this one has said nothing yet
        step, stage, text = {}, "", ""
    state = "running" if running else ended
    owner = str(holding.owner) if holding else ""
    stages = {s: "done" if ledger.entry(s) else "to do" for s in STAGES}
    if stage and state != "done":
        stages[stage] = "running" if running else state
    headline = read_headline(directory) if stages["report"] == "done" else None
    # Without loading the libraries: of those that only they know, nothing is said.
    notes = version_notes(ledger, known_versions())
    return Status(str(directory), state, owner, stages, step, last, text, headline, notes)


def _seen(directory: OutPath) -> tuple[Holding | None, Ledger, list[dict[str, Any]]]:
    """Read lock, ledger and last events of one moment: all again if a run has begun or ended in between."""
    after = held(directory)
    for _ in range(_LOOKS):
        before = after
        ledger, events = Ledger(directory), list(_events(directory / EVENTS))
        after = held(directory)
        if (before and before.owner) == (after and after.owner):
            break
    return after, ledger, events


def _events(file: OutPath) -> Iterator[dict[str, Any]]:
    """Yield the last events; a half-written line is skipped."""
    try:
        content = read_tail(file, _TAIL)
    except FileNotFoundError:
        return
    for line in content.decode("utf-8", "replace").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def _ago(moment: str) -> str:
    return duration((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
