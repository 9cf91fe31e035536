"""`gelisol sources`: provider, licence and access of the data that a run file names, without opening them."""

from pathlib import Path

from rich.table import Table

from engine.errors import Finding, InputError
from pipelines.runfile.descriptions import about, entries
from pipelines.runfile.reader import RunFile


def source_table(run: RunFile, base: Path) -> Table:
    """Tabulate the sources, one per row.

    Raises
    ------
    InputError
        With every description that cannot be read.
    """
    table = Table(title="Sources", title_justify="left")
    for column in ("covariate", "values from", "units", "data set", "provider", "access", "licence", "DOI"):
        table.add_column(column, overflow="fold")
    problems: list[Finding] = []
    for name, spec in entries(run).items():
        try:
            known = about(name, spec, base)
        except InputError as error:
            problems += error.problems
            continue
        facts = (known.title, known.provider, known.access, known.licence, known.doi) if known else ("–",) * 5
        table.add_row(name, spec.place, "classes" if spec.is_categorical else spec.units, *facts)
    if problems:
        raise InputError(problems)
    return table
