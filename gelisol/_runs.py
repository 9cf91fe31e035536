"""A run, opened: its maps, tables and sites, whatever of them is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from engine.errors import InputError
from gelisol._arguments import ArgumentError, results_place
from gelisol._verdict import Verdict

if TYPE_CHECKING:
    from os import PathLike

    import geopandas as gpd
    from matplotlib.axes import Axes

    from engine.storage.paths import OutPath
    from pipelines.commands.status import Status
    from pipelines.runfile.reader import RunFile

T = TypeVar("T")
_SCORES = ("r2_explained", "r2", "rmse", "mae", "bias", "ccc")
_SIDE = 320
"""Most pixels along a side of the small map."""
_COLOURS = {"uncertainty": "magma_r", "sd": "magma_r", "dissimilarity": "YlGnBu", "expected_error": "magma_r"}


def open(directory: str | PathLike[str] | OutPath) -> Run:
    """Open the results of a run, finished or not.

    Parameters
    ----------
    directory : path or str
        What `output.dir` of the run file names: a folder, or a prefix of an object store (`s3://BUCKET/PREFIX`).

    Returns
    -------
    Run
        Its maps, tables and sites, each read when it is asked for.

    Raises
    ------
    InputError
        If there is no such folder, or no run has left anything in it.

    Examples
    --------
    >>> run = gelisol.open("out")
    >>> run.maps["mean"].dims
    ('depth', 'y', 'x')
    >>> run.maps["mean"].attrs["units"]
    'kg m-2'
    >>> run.scores.columns.tolist()
    ['family', 'scheme', 'repeats', 'r2_explained', 'r2', 'rmse', 'mae', 'bias', 'ccc']
    """
    from engine.storage.paths import children, problem_of, require_access
    from pipelines.progress import EVENTS
    from pipelines.run.stage_keys import ARTEFACTS

    if isinstance(directory, str) and (problem := problem_of(directory)):
        raise ArgumentError(f"directory: {problem}")
    place = results_place(directory, "directory")
    require_access(place)
    names = {child.name for child in children(place)}
    left = {
        "run.yaml",
        "ledger.json",
        "provenance.json",
        EVENTS,
        *(name for many in ARTEFACTS.values() for name in many),
    }
    if not names:
        raise ArgumentError(
            f"directory: {place} is not there, or empty; give the results folder of a run (`output.dir`)"
        )
    if not names & (left - {"run.yaml"}):
        raise ArgumentError(
            f"directory: {place} holds nothing that a run leaves (maps.zarr, stocks.csv, …); give its results folder "
            "(`output.dir` of the run file)"
        )
    return Run(place)


@dataclass(frozen=True, repr=False)
class Run:
    """The results of a run; every attribute is read anew when it is asked for, so that it follows a run at work.

    Parameters
    ----------
    directory : path
        The results folder, as `gelisol.open` gives it.

    Examples
    --------
    >>> run = gelisol.open("out")
    >>> run.stocks["zone"].unique().tolist()
    ['forest', 'grassland', 'total']
    >>> run.cube["tn"].attrs["units"], run.sites.crs.to_epsg()
    ('g/kg', 4326)
    """

    directory: OutPath

    @property
    def maps(self) -> xr.Dataset:
        """Densities and intervals on the grid.

        Returns
        -------
        Dataset
            Lazy. Dims `depth, y, x`: `mean, sd, ci_lower, ci_upper, uncertainty, pi_lower, pi_upper`; dims `y, x`:
            `dissimilarity, applicable, local_point_density, expected_error`; and what the run file asks for. Each has
            units and the CRS; `depth_top` and `depth_bottom` are in cm.

        Raises
        ------
        InputError
            Before the stage `map` is done.
        """
        return self._dataset("maps.zarr", "map")

    @property
    def cube(self) -> xr.Dataset:
        """Covariates on the grid.

        Returns
        -------
        Dataset
            Lazy, dims `y, x`: numbers with their units, classes with `flag_values` and `flag_meanings`, and `domain`;
            in the order of the run file.

        Raises
        ------
        InputError
            Before the stage `cube` is done.
        """
        found = self._dataset("cube.zarr", "cube")
        wanted = [] if self._config is None else [name for name in self._config.covariates if name in found]
        return found[list(dict.fromkeys([*wanted, *map(str, found.data_vars)]))]

    @property
    def sites(self) -> gpd.GeoDataFrame:
        """Sites with what was observed, and what the replicates without them predict.

        Returns
        -------
        GeoDataFrame
            One point a site: `observed_…`, `predicted_…` and `residual_…` per depth, empty where unknown; `used`, and
            if not, `why_not`.

        Raises
        ------
        InputError
            Before the stage `profiles` is done.
        """
        from pipelines.runfile.target import CARBON_DENSITY
        from pipelines.soil_carbon.results.sites_file import read_sites

        self._require("profiles.parquet", "profiles")
        profiles = self._read("profiles.parquet", "profiles", _parquet)
        labels = tuple(dict.fromkeys(profiles["depth"])) if self._config is None else self._config.depth_labels
        return read_sites(self.directory, labels, CARBON_DENSITY if self._config is None else self._config.target)

    @property
    def stocks(self) -> pd.DataFrame:
        """Area, mean and stock of each zone and depth; the zone `total` is the whole region.

        Returns
        -------
        DataFrame
            The table `stocks.csv`.

        Raises
        ------
        InputError
            Before the stage `map` is done.
        """
        return self._read("stocks.csv", "map", _csv)

    @property
    def scores(self) -> pd.DataFrame:
        """Cross-validation of each family under each scheme, averaged over the repeats.

        Returns
        -------
        DataFrame
            `family, scheme, repeats, r2_explained, r2, rmse, mae, bias, ccc`.

        Raises
        ------
        InputError
            Before the stage `train` is done.
        """
        table = self._read("validation.csv", "train", _csv)
        groups = table.groupby(["family", "scheme"], sort=False)
        known = [name for name in _SCORES if name in table]
        return groups.agg(repeats=("repeat", "count"), **{name: (name, "mean") for name in known}).reset_index()

    @property
    def calibration(self) -> pd.DataFrame:
        """Calibration of the intervals of a core at held-out sites, by scheme, depth, group of sites and level.

        Returns
        -------
        DataFrame
            The table `calibration.csv`: of the map's intervals (`method` is `mapped`) and of two references.

        Raises
        ------
        InputError
            Before the stage `train` is done, or if the run file asks for none (`model.validation.coverage`).
        """
        if self._config is not None and not self._config.model.validation.coverage:
            raise InputError(
                f"{self.directory}: the intervals were not judged, as model.validation.coverage is 0; give it 1 in the "
                "run file and run it again: the map stays"
            )
        return self._read("calibration.csv", "train", _csv)

    @property
    def verdict(self) -> Verdict:
        """Verdict of the validation on the map.

        Returns
        -------
        Verdict
            Text: `supported`, `weak` or `none`; with `.conclusion`, `.reasons` and `.totals`.

        Raises
        ------
        InputError
            Before the stage `report` is done.
        """
        from pipelines.soil_carbon.results.headline import SUMMARY, read_headline

        self._require(SUMMARY, "report")
        found = read_headline(self.directory)
        assert found is not None
        return Verdict(found.verdict, found.conclusion, found.reasons, found.totals)

    def predict(self, points: pd.DataFrame) -> pd.DataFrame:
        """Predict density and interval at points, from the ensemble and the covariates of the cells that hold them.

        Parameters
        ----------
        points : GeoDataFrame or DataFrame
            Points in any CRS, or columns `lon` and `lat` in degrees.

        Returns
        -------
        DataFrame
            One row a point, with its index. Per depth `NAME_DEPTH_STATISTIC`, e.g. `socd_0-10_mean`, equal to the
            maps; `dissimilarity`, `applicable`. Empty where a point is off the grid or a covariate is missing; `pi_*`
            that come from the joint distribution of the errors are empty until the stage `map` has fitted it.

        Raises
        ------
        InputError
            Before the stage `train` is done, or if no point is on the grid.

        Examples
        --------
        >>> import pandas as pd
        >>> points = pd.DataFrame({"lon": [121.2], "lat": [51.0]}, index=["A"])
        >>> found = gelisol.open("out").predict(points)
        >>> bool(found.loc["A", "socd_0-10_pi_lower"] < found.loc["A", "socd_0-10_mean"])
        True
        """
        from gelisol._predict import predict_at

        self._require("cube.zarr", "cube")
        self._require("ensemble", "train")
        return predict_at(self.directory, points, self._sound_config())

    def draws(self, bbox: Sequence[float], n: int = 100) -> xr.DataArray:
        """Draw maps of a part of the region that are equally likely to be true, given the sites.

        They are draws of the joint distribution that the intervals of cells and the ranges of totals come from: sum one
        over any area, and it is a draw of the area's stock; depths go together within each.

        Parameters
        ----------
        bbox : sequence of float
            West, south, east and north, degrees; drawn is the rectangle of the grid that holds it.
        n : int
            How many; the first of them are the same however many are asked for.

        Returns
        -------
        DataArray
            Values are float32, dims `draw, depth, y, x`, with CRS and units; NaN where the maps have no value. No draw
            is cut off at 0, so that sums stay unbiased.

        Raises
        ------
        InputError
            Before the stage `map` is done, if the run has no joint distribution, if no cell's centre is in `bbox`, or
            if the draws would take more than 4 GB.

        Examples
        --------
        >>> run = gelisol.open("out")
        >>> draws = run.draws((120.5, 50.5, 121.5, 51.5), n=20)
        >>> draws.dims, draws.sizes["draw"], draws.attrs["units"]
        (('draw', 'depth', 'y', 'x'), 20, 'kg m-2')
        >>> bool((draws.std("draw") > 0).any())
        True
        """
        from gelisol._draws import draw_maps

        self._require("maps.zarr", "map")
        return draw_maps(self.directory, self._sound_config(), bbox, n)

    def plot(self, statistic: str = "mean", depth: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw a map.

        Parameters
        ----------
        statistic : str
            A variable of `maps`.
        depth : str, optional
            A label such as `0-30`; by default the first.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default new axes.

        Returns
        -------
        matplotlib.axes.Axes
            With the map and its colour bar.

        Raises
        ------
        InputError
            If there is no such map.

        Examples
        --------
        >>> axes = gelisol.open("out").plot("uncertainty", depth="0-30")
        >>> axes.get_title()
        'uncertainty, 0–30 cm'
        """
        from gelisol._plot import draw

        layer, title = self._layer(statistic, depth)
        return draw(layer, title, _COLOURS.get(statistic, "viridis_r"), ax)

    def __repr__(self) -> str:
        """Return stages, verdict and totals as text."""
        lines = [f"<gelisol.Run {self.directory}: {self._state}>"]
        lines.append("  stages: " + ", ".join(f"{stage} {state}" for stage, state in self._stages.items()))
        lines += [f"  {line}" for line in self._headline]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return stages, verdict, totals, scores and a small map, for a notebook."""
        from gelisol import _html

        stages = pd.DataFrame({"stage": self._stages.keys(), "state": self._stages.values()})
        parts = [_html.paragraph(self._state), _html.table(stages), _html.items(self._headline)]
        if (scores := self._if_there(lambda: self.scores)) is not None:
            parts.append(_html.table(scores))
        if (drawn := self._if_there(self._small_map)) is not None:
            parts += [_html.image(*drawn), _html.paragraph(drawn[1])]
        return _html.page(f"gelisol.Run {self.directory}", parts)

    def _small_map(self) -> tuple[bytes, str]:
        from gelisol import _html
        from pipelines.soil_carbon.results.overviews import picture

        layer, title = self._layer("mean", None)
        return _html.map_png(picture(layer, _SIDE), _COLOURS.get("mean", "viridis_r")), title

    def _layer(self, statistic: str, depth: str | None) -> tuple[xr.DataArray, str]:
        """Return a map of one depth, and what it is."""
        from pipelines.runfile.nearest import nearest
        from pipelines.soil_carbon.formatting import depth_text

        maps = self.maps
        if statistic not in maps:
            raise ArgumentError(f"statistic: unknown map {statistic!r}{nearest(str(statistic), maps.data_vars)}")
        layer = maps[statistic]
        units = layer.attrs.get("units", "1")
        named = statistic + (f" ({units})" if units != "1" else "")
        if "depth" not in layer.dims:
            return layer, named
        labels = [str(label) for label in maps["depth"].values]
        label = labels[0] if depth is None else depth
        if label not in labels:
            raise ArgumentError(f"depth: {depth!r} is not mapped; the maps have {', '.join(labels)}")
        return layer.isel(depth=labels.index(label)), f"{named}, {depth_text(label)}"

    @property
    def _status(self) -> Status | None:
        from pipelines.commands.status import read_status

        return self._if_there(lambda: read_status(self.directory))

    @property
    def _state(self) -> str:
        status = self._status
        if status is None:
            return "of another version or copied in part; what is there can be read"
        return f"{status.state}{f': {status.text}' if status.text else ''}"

    @property
    def _stages(self) -> dict[str, str]:
        """Return stage → its state, by the records of the run, else by what is there."""
        from pipelines.run.stage_keys import ARTEFACTS

        if (status := self._status) is not None:
            return dict(status.stages)
        there = {s: all((self.directory / name).exists() for name in names) for s, names in ARTEFACTS.items()}
        return {stage: "done" if found else "to do" for stage, found in there.items()}

    @property
    def _headline(self) -> list[str]:
        verdict = self._if_there(lambda: self.verdict)
        return [] if verdict is None else [f"verdict: {verdict}. {verdict.conclusion}", *verdict.totals]

    @cached_property
    def _config(self) -> RunFile | None:
        """Return the resolved run file; None where it is missing or of another version."""
        return self._if_there(self._sound_config)

    def _sound_config(self) -> RunFile:
        from pipelines.runfile.reader import load

        self._require("run.yaml", "profiles")
        return load(self.directory / "run.yaml")[0]

    @staticmethod
    def _if_there(read: Callable[[], T]) -> T | None:
        """Return what can be read of the folder; None where it is missing, damaged or of another version."""
        try:
            return read()
        except (InputError, OSError, ValueError, KeyError):
            return None

    def _require(self, name: str, stage: str) -> None:
        if not (self.directory / name).exists():
            raise InputError(
                f"{self.directory}: has no {name} yet; the stage `{stage}` makes it. Run it: "
                f"gelisol.run('run.yaml', until='{stage}'), or `gelisol run RUN.yaml --until {stage}`"
            )

    def _read(self, name: str, stage: str, read: Callable[[OutPath, str], pd.DataFrame]) -> pd.DataFrame:
        self._require(name, stage)
        try:
            return read(self.directory, name)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{self.directory / name}: cannot be read ({reason}); the stage `{stage}` makes it anew: "
                "`gelisol run --fresh` the run file"
            ) from error

    def _dataset(self, name: str, stage: str) -> xr.Dataset:
        from engine.storage.zarr_store import open_dataset

        self._require(name, stage)
        return described_dataset(open_dataset(self.directory / name, chunked=True))


def described_dataset(dataset: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with units on every variable, and the bounds of its depths as coordinates."""
    from engine.sources.spec import layer_interval

    for variable in dataset.data_vars.values():
        variable.attrs.setdefault("units", "1")
    if "depth" not in dataset.coords:
        return dataset
    try:
        bounds = np.array([layer_interval(str(label)) for label in dataset["depth"].values])
    except ValueError:  # labels of another kind
        return dataset
    coords = {
        f"depth_{end}": ("depth", values, {"long_name": f"{end} of the depth interval", "units": "cm"})
        for end, values in zip(("top", "bottom"), bounds.T, strict=True)
    }
    return dataset.assign_coords(coords)


def _csv(directory: OutPath, name: str) -> pd.DataFrame:
    from pipelines.soil_carbon.results.read_results import read_table

    return read_table(directory, name.removesuffix(".csv"))


def _parquet(directory: OutPath, name: str) -> pd.DataFrame:
    from pipelines.soil_carbon.results.read_results import read_parquet

    return read_parquet(directory / name)
