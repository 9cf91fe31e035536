"""Check of a run file from Python: everything is opened, nothing is computed."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.errors import Finding, InputError
from gelisol._arguments import require_path, results_place

if TYPE_CHECKING:
    from os import PathLike

    from rich.console import Console

    from engine.storage.paths import OutPath
    from pipelines.preflight.inspection import Inspection
    from pipelines.preflight.prepare import Survey

_WIDTH = 140


@dataclass(frozen=True, repr=False)
class Check:
    """Result of checking a run file and all that it names.

    Parameters
    ----------
    run_file : str
        The run file.
    problems : tuple of Finding
        What is wrong; a run would refuse to start.
    notes : tuple of Finding
        What is odd, but no error.
    table : DataFrame
        One row per source: files, size, CRS, pixel, period, resampling, share of the domain and of the sites covered.
    text, html : str
        The tables of the command `gelisol check`.

    Examples
    --------
    >>> found = gelisol.check("run.yaml")
    >>> found.is_sound, len(found.table)
    (True, 4)
    """

    run_file: str
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    table: pd.DataFrame
    text: str = field(default="", compare=False)
    html: str = field(default="", compare=False)

    @property
    def is_sound(self) -> bool:
        """Whether a run would start.

        Returns
        -------
        bool
            True without problems; notes do not count.
        """
        return not self.problems

    def raise_if_bad(self) -> Check:
        """Raise what a run would raise.

        Returns
        -------
        Check
            Itself, if there are no problems.

        Raises
        ------
        InputError
            With all problems.

        Examples
        --------
        >>> gelisol.check("run.yaml").raise_if_bad().is_sound
        True
        """
        if self.problems:
            raise InputError(self.problems)
        return self

    def __repr__(self) -> str:
        """Return problems, and the tables of the command `gelisol check`, as text."""
        found = "".join(f"\n• {problem}" for problem in self.problems)
        return f"<gelisol.Check {self.run_file}: {_counted(self.problems)}>{found}\n{self.text}".rstrip()

    def _repr_html_(self) -> str:
        """Return problems, and the tables of the command `gelisol check`, for a notebook."""
        from gelisol import _html

        parts = [_html.paragraph(_counted(self.problems)), _html.items(map(str, self.problems)), self.html]
        return _html.page(f"gelisol.Check {self.run_file}", parts)


def check(run_file: str | PathLike[str], *, out: str | PathLike[str] | OutPath | None = None, **settings: Any) -> Check:
    """Open all that a run file names, and look at some values: sources, grid, plan, memory, and every problem found.

    Parameters
    ----------
    run_file : path or str
        The run file.
    out : path or str, optional
        Results folder, or `s3://BUCKET/PREFIX`, instead of the run file's.
    **settings
        Values that replace those of the run file, as in `gelisol.run`.

    Returns
    -------
    Check
        Problems, notes and a table of the sources; problems of the input are found there, and not raised.

    Raises
    ------
    ArgumentError
        If an argument is not of its type.

    Examples
    --------
    >>> found = gelisol.check("run.yaml")
    >>> found.problems
    ()
    >>> found.table["covariate"].tolist()
    ['mat', 'ai', 'tn', 'vegetation']
    >>> gelisol.check("run.yaml", model__replicats=3).problems[0].message
    'unknown key `model.replicats`; did you mean `replicates`?'
    """
    from pathlib import Path

    from gelisol._execute import overrides
    from pipelines.preflight.inspection import Inspection
    from pipelines.preflight.memory import require_promised_memory
    from pipelines.preflight.prepare import survey

    path = Path(require_path(run_file, "run_file", "'north/run.yaml'"))
    directory = None if out is None else results_place(out, "out")
    chosen, inspection = overrides(settings), Inspection()
    try:
        found = survey(path, chosen, directory, inspect=inspection, probe=True)
    except InputError as error:  # of which nothing can be opened
        return Check(str(path), tuple(error.problems), (), pd.DataFrame())
    problems: tuple[Finding, ...] = ()
    try:
        require_promised_memory(found.prepared())
    except InputError as error:
        problems = tuple(error.problems)
    return _shown(str(path), problems, found, inspection)


def _shown(path: str, problems: tuple[Finding, ...], survey: Survey, inspection: Inspection) -> Check:
    from rich.console import Console

    from pipelines.commands.check import all_notes, show, source_table

    console = Console(width=_WIDTH, file=io.StringIO(), record=True)
    show(survey, inspection, console)
    sources = source_table(survey)
    table = pd.DataFrame({str(column.header): list(column.cells) for column in sources.columns})
    html = console.export_html(inline_styles=True, code_format="<pre style='line-height:1.2'>{code}</pre>", clear=False)
    return Check(path, problems, tuple(all_notes(survey, inspection)), table, _text(console), html)


def _text(console: Console) -> str:
    return console.export_text(styles=False)


def _counted(problems: tuple[Finding, ...]) -> str:
    from engine.formatting import counted

    return counted(len(problems), "problem") if problems else "sound; a run would start"
