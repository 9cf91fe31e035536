"""Run a run file from Python."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING, Any

from engine.errors import RunError
from gelisol._arguments import ArgumentError, described, require_client, require_path, results_place

if TYPE_CHECKING:
    from os import PathLike

    from distributed import Client

    from engine.storage.paths import OutPath
    from gelisol._runs import Run

_GUARD = 'Workers import the script that starts them: in a script, put the call under `if __name__ == "__main__":`'
_STYLES = ("auto", "bars", "lines", "json")


def run(
    run_file: str | PathLike[str],
    client: Client | None = None,
    *,
    out: str | PathLike[str] | OutPath | None = None,
    until: str = "report",
    fresh: bool = False,
    progress: str = "auto",
    **settings: Any,
) -> Run:
    """Run all stages of a run file that are not done yet, or have become stale.

    Parameters
    ----------
    run_file : path or str
        The run file.
    client : distributed.Client, optional
        Of a cluster that is there already; it is left as it is. By default the cluster of the run file is started.
    out : path or str, optional
        Results folder, or `s3://BUCKET/PREFIX`, instead of the run file's.
    until : str
        Last stage: `profiles`, `cube`, `select`, `train`, `map` or `report`.
    fresh : bool
        Do every stage again.
    progress : str
        `bars`, `lines`, `json`, or `auto` for what fits.
    **settings
        Values that replace those of the run file, as `--set` does: `model__replicates=20` is `--set
        model.replicates=20`.

    Returns
    -------
    Run
        The results, as `gelisol.open` gives them.

    Raises
    ------
    InputError
        With every problem found in the run file and in what it names.
    RunError
        If the run fails; what is done is kept, and the same call goes on from there.

    Notes
    -----
    Workers are processes that start by importing the script that calls: in a script, not in a notebook, the call stands
    under ``if __name__ == "__main__":``.

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     run = gelisol.run("run.yaml", client, until="profiles", model__replicates=6)
    >>> len(run.sites)
    40
    """
    from pathlib import Path

    from pipelines import STAGES
    from pipelines.preflight.prepare import open_run
    from pipelines.progress import Display
    from pipelines.run.execute import execute
    from pipelines.runfile.nearest import nearest

    path = Path(require_path(run_file, "run_file", "'north/run.yaml'"))
    require_client(client)
    if until not in STAGES:
        raise ArgumentError(f"until: unknown stage {until!r}{nearest(str(until), STAGES)}")
    if progress not in _STYLES:
        raise ArgumentError(f"progress: expected one of {', '.join(_STYLES)}; found {described(progress)}")
    if not isinstance(fresh, bool):
        raise ArgumentError(f"fresh: expected True or False; found {described(fresh)}")
    _require_main_process()
    directory = None if out is None else results_place(out, "out")
    prepared = open_run(path, overrides(settings), directory, refresh=fresh)
    try:
        done = execute(prepared, until=str(until), fresh=fresh, display=Display(style=progress), client=client)
    except RuntimeError as error:
        if "failed to start" not in str(error):  # Dask's, of a worker
            raise
        raise RunError(f"cluster: {error} {_GUARD}") from error
    from gelisol._runs import Run

    return Run(done)


def overrides(settings: dict[str, Any]) -> tuple[str, ...]:
    """Return settings as `--set` takes them: `key.subkey=value`, the value as YAML.

    Raises
    ------
    ArgumentError
        If a value is of a kind that a run file cannot hold.
    """
    found = []
    for name, value in settings.items():
        key = name.replace("__", ".")
        try:
            found.append(f"{key}={json.dumps(value, ensure_ascii=False, default=_plain)}")
        except TypeError:
            raise ArgumentError(
                f"{name}: a run file cannot hold {described(value)}; expected text, a number, true or false, a "
                "list or a mapping"
            ) from None
    return tuple(found)


def _plain(value: Any) -> Any:
    """Return what a path or a number of NumPy is to YAML."""
    import os

    import numpy as np

    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError


def _require_main_process() -> None:
    """Refuse to run in a process that is being started by another run of the same script."""
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        raise RunError(f"gelisol.run was called in a worker that was starting. {_GUARD}")
