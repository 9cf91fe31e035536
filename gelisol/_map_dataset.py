"""Map covariates and points of one's own, without a run file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from gelisol._arguments import ArgumentError, described, require_client

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from distributed import Client


def map_dataset(
    dataset: xr.Dataset,
    points: pd.DataFrame,
    target: str | Sequence[str],
    *,
    client: Client | None = None,
    units: str = "1",
    at_site: Mapping[str, str] | None = None,
    zones: str | None = None,
    selection: Mapping[str, Any] | None = None,
    **model: Any,
) -> xr.Dataset:
    """Map measurements at points from covariates on a grid, as `gelisol run` does.

    The model is trained at once; the map is lazy, with one task a block, and is computed, or written by `to_zarr`,
    block by block.

    Parameters
    ----------
    dataset : Dataset
        Covariates, one a variable, on one grid with a CRS, of any size: in memory, lazy, or of Dask arrays. Dims `y`
        and `x`, or `lat` and `lon`. Whole-number codes with `flag_values` are classes, with `flag_meanings` for
        names. A variable `domain`, if there, is 0 where nothing is to be mapped.
    points : GeoDataFrame or DataFrame
        Points in any CRS, or columns `lon` and `lat` in degrees; and the columns that `target` and `at_site` name.
    target : str or sequence of str
        Column of what is mapped. Of several, the first is modelled and the others follow from it by regression, as
        depths do; names such as `soc_0-10` and `soc_0-30` tell depths in cm.
    client : distributed.Client, optional
        Where the model is validated and trained; it need not share a disk with this process. By default the client that
        is current, or else threads of this process.
    units : str
        Of the target.
    at_site : mapping, optional
        Covariate → column of values measured at the points, which replace the grid's where they are known.
    zones : str, optional
        Category of the Dataset, such as vegetation, over each class of which errors may go together.
    selection : mapping, optional
        Screening of the covariates, as the section `selection` of the run file, e.g. `{"screen": False}`.
    **model
        The section `model` of the run file, e.g. `families=["rf", "xgboost"]`, `replicates=50`,
        `validation={"folds": 5}`; with its defaults.

    Returns
    -------
    Dataset
        Lazy, on the grid of `dataset`: `mean, sd, ci_lower, ci_upper, uncertainty, pi_lower, pi_upper, cell_mean,
        cell_lower, cell_upper` (with a dimension `depth` for several targets), `dissimilarity` and `applicable`.
        Attributes say what was chosen, and the scores. Without `cell_…` if `residual_error=False`.

    Raises
    ------
    InputError
        Names the argument, what was found, and what is expected.

    Warns
    -----
    UserWarning
        If points train nothing because they are off the grid or lack a covariate; if points are too few, or the grid
        too wide, for intervals of cells.

    Notes
    -----
    Numbers are those of the command line for the same covariates, points, zones and settings, to the bit; of a run
    file that completes its profiles, those with `observations.errors: false`. The size of blocks that the fold scheme
    `block` holds out follows the area of the grid, where a run file has an outline.

    Examples
    --------
    >>> run = gelisol.open("out")
    >>> sites = run.sites.query("used")
    >>> density = gelisol.map_dataset(
    ...     run.cube[["mat", "tn"]], sites, "observed_0-10", units="kg m-2",
    ...     replicates=4, validation={"folds": 3, "repeats": 1, "schemes": ["random"]},
    ... )
    >>> density["mean"].dims, density.attrs["sites"]
    (('y', 'x'), 35)
    >>> float(density["mean"].mean()) > 0
    True
    """
    from gelisol._covariates import read_covariates
    from gelisol._fitted import lazy_map
    from gelisol._learn import learn, settings, sites_table
    from pipelines.runfile.model_section import Model, Selection

    require_client(client)
    if not isinstance(units, str):
        raise ArgumentError(f"units: expected text, e.g. 'kg m-2'; found {described(units)}")
    measured = _mapping(at_site, "at_site")
    columns, depths = targets(target)
    covariates = read_covariates(dataset)
    sites = sites_table(points, columns, depths, measured)
    section = settings(Model, model)
    if section.validation.independent is not None:
        raise ArgumentError(
            "validation.independent: applies to run files only; leave such points out of `points`, and compare"
        )
    screening = settings(Selection, _mapping(selection, "selection"))
    with _cluster(client) as used:
        fitted, facts = learn(covariates, sites, depths, measured, units, section, screening, used, zones)
    return lazy_map(fitted, covariates, columns[0] if len(columns) == 1 else _common(columns), units, facts)


def _mapping(value: Any, argument: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{argument}: expected a mapping; found {described(value)}")
    return dict(value)


def targets(target: Any) -> tuple[list[Any], list[str]]:
    """Return columns and their labels: what follows the last underscore where that is a depth, else the column."""
    from engine.sources.spec import layer_interval

    if isinstance(target, str):
        return [target], [target]
    if not isinstance(target, Sequence | np.ndarray) or not len(target):
        raise ArgumentError(f"target: expected the name of a column, or several; found {described(target)}")
    columns = list(target)
    if len(set(map(str, columns))) < len(columns):
        raise ArgumentError(f"target: names a column twice: {', '.join(map(str, columns))}")
    ends = [str(column).rpartition("_")[2] for column in columns]
    try:
        found = [layer_interval(end) for end in ends]
    except ValueError:
        return columns, [str(column) for column in columns]
    return columns, ends if len(set(found)) == len(found) else [str(column) for column in columns]


def _common(columns: list[str]) -> str:
    """Return what several columns have in common before the last underscore, else all of them."""
    names = {column.rpartition("_")[0] for column in columns}
    return names.pop() if len(names) == 1 and "" not in names else ", ".join(columns)


@contextmanager
def _cluster(client: Client | None) -> Iterator[Client]:
    """Yield the client to train on: the one given, the current one, or threads of this process."""
    from distributed import Client, default_client

    if client is None:
        try:
            client = default_client()
            require_client(client)
        except ValueError:
            with Client(
                processes=False, n_workers=1, dashboard_address=None, protocol="inproc", set_as_default=False
            ) as own:
                yield own
            return
    yield client
