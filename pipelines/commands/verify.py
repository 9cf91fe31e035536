"""`gelisol check --deep`: every result against the checksum that was taken when it was written."""

from rich.console import Console
from rich.table import Table

from engine.errors import InputError
from engine.execution.block_store import damaged_blocks
from engine.execution.ledger import RECORDS, Ledger, Records, digest_of
from engine.execution.lock import locked
from engine.formatting import counted
from engine.storage.atomic import remove
from pipelines import STAGES
from pipelines.run.stage_keys import ALSO_WRITES, STORES, RunKeys
from pipelines.soil_carbon.prepared import Prepared


def check_results(prepared: Prepared, console: Console) -> None:
    """Read all that is recorded; what is damaged is struck from the records, so that the next run does it again.

    Raises
    ------
    InputError
        If anything is damaged, naming it.
    """
    if not prepared.directory.is_dir():
        console.print("deep check: there are no results yet")
        return
    with locked(prepared.directory):
        ledger = Ledger(prepared.directory)
        table = Table("stage", "checked", "damaged", title="Results", title_justify="left")
        problems: list[str] = []
        keys = RunKeys(prepared)
        for stage in STAGES:
            entry = ledger.entry(stage)
            pieces = entry.pieces if entry and entry.pieces else keys.of(stage, ledger).pieces
            checked, damaged = _blocks(prepared, stage, pieces)
            files, damaged_files = _files(prepared, stage, ledger)
            damaged += damaged_files
            if damaged:
                ledger.begin(stage)
            if checked or files:
                table.add_row(stage, ", ".join(filter(None, [checked, files])), str(len(damaged)))
            problems += damaged
    console.print(table)
    if problems:
        raise InputError([*problems, "`gelisol run` makes again what is damaged, and nothing else"])


def _blocks(prepared: Prepared, stage: str, key: str) -> tuple[str, list[str]]:
    if stage not in STORES:
        return "", []
    path = prepared.directory / STORES[stage]
    records = Records.of(path, key)
    n = len(records.names())
    damaged = damaged_blocks(path, key)
    for name in damaged:
        records.forget(name)
    return (counted(n, "block") if n else ""), [f"{file}: is not what was written" for file in damaged.values()]


def _files(prepared: Prepared, stage: str, ledger: Ledger) -> tuple[str, list[str]]:
    """Return artefacts that are files or folders; one that a later stage rewrites is checked with that stage."""
    entry = ledger.entry(stage)
    if entry is None:
        return "", []
    later = STAGES[STAGES.index(stage) + 1 :]
    again = {name for other in later for name in ALSO_WRITES.get(other, ())}
    digests = {name: digest for name, digest in entry.digests.items() if name not in again}
    damaged = [name for name, digest in digests.items() if digest_of(prepared.directory / name) != digest]
    if "cog" in damaged:
        remove(prepared.directory / RECORDS / "cog")
    words = counted(len(digests), "file or folder", "files and folders") if digests else ""
    return words, [f"{prepared.directory / name}: is not what was written" for name in damaged]
