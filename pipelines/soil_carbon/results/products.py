"""The finished maps as files for others: COGs for GIS, each with its style."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from distributed import Client

from engine.ensemble.statistics import CELL_STATISTICS
from engine.execution.ledger import Records, digest_of
from engine.execution.tasks import Progress, run_each, silent
from engine.export.cog import write_cog
from engine.export.qgis import Class, Ramp, write_style
from engine.mapping.blockwise import APPLICABLE, DENSITY, DISSIMILARITY, EXPECTED_ERROR, OF_CELL, STATISTICS
from engine.storage.atomic import remove
from engine.storage.paths import OutPath, children
from engine.storage.zarr_store import open_dataset
from engine.uncertainty.asked import PROBABILITY, Asked, probability_name, quantile_name
from engine.validation.applicability import Applicability
from pipelines.runfile.reader import RunFile
from pipelines.runfile.target import CARBON
from pipelines.soil_carbon.formatting import sentence, unit
from pipelines.soil_carbon.model.joint_errors import FILE as ERROR_MODEL
from pipelines.soil_carbon.results.overviews import distance_limits, limits, picture

_MISSING = "outside the domain, or without a value of a covariate"
_NOT_APPLICABLE = f"outside the area of applicability, {_MISSING}"
"""What a cell without a value means in layers of the area of applicability alone."""
_INSIDE = "#1fa187"
"""Colour of the area of applicability."""


def map_attrs(config: RunFile) -> dict[str, dict[str, Any]]:
    """Return CF attributes of each variable in `maps.zarr`."""
    model = config.model
    units = config.target.cf_units
    attrs = statistic_attrs(config.target.long, units, model.interval, model.statistics)
    attrs[DENSITY] = {"long_name": "local point density: training sites that are like the cell", "units": "1"}
    attrs[EXPECTED_ERROR] = {
        "long_name": f"expected error (cross-validated RMSE) at {config.depth_labels[0]} cm, by local point density",
        "units": units,
    }
    return attrs | asked_attrs(model.asked, units)


def asked_attrs(asked: Asked, units: str) -> dict[str, dict[str, Any]]:
    """Return CF attributes of the layers made on request."""
    of_thresholds = {
        probability_name(threshold): {
            "long_name": f"probability that the cell's own mean exceeds {threshold:.10g} {units}", "units": "1",
        }
        for threshold in asked.thresholds
    }  # fmt: skip
    of_quantiles = {
        quantile_name(quantile): {
            "long_name": f"{100 * quantile:.10g} % quantile of the cell's own mean", "units": units
        }
        for quantile in asked.quantiles
    }  # fmt: skip
    return of_thresholds | of_quantiles


def statistic_attrs(what: str, units: str, interval: float, further: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Return CF attributes of each statistic of a map.

    Parameters
    ----------
    interval : float
        Nominal coverage of the prediction interval.
    further : sequence of str
        Registered statistics beside those of every map.
    """
    level = f"{100 * interval:g} %"
    return {
        **{name: CELL_STATISTICS.find(name).attrs(what, units, level) for name in (*STATISTICS, *further)},
        "cell_mean": {"long_name": f"{what}, expected mean of the cell given the sites", "units": units},
        "cell_lower": {"long_name": f"lower bound of the {level} interval of the cell's own mean", "units": units},
        "cell_upper": {"long_name": f"upper bound of the {level} interval of the cell's own mean", "units": units},
        DISSIMILARITY: {"long_name": "dissimilarity from the training sites", "units": "1"},
        APPLICABLE: {
            "long_name": "area of applicability",
            "flag_values": [0, 1],
            "flag_meanings": "outside_or_missing inside",
        },
    }


def band_name(depth: str, statistic: str, target: str = CARBON) -> str:
    """Return the name of a map and of its band, e.g. `socd_0-30_mean`."""
    return f"{target}_{depth}_{statistic}"


def cog_name(depth: str, statistic: str, target: str = CARBON) -> str:
    """Return the file name of a map, e.g. `socd_0-30_mean.tif`."""
    return f"{band_name(depth, statistic, target)}.tif"


@dataclass(frozen=True)
class _Cog:
    """GeoTIFF of a map: its variable and layer, its description, and its style in QGIS."""

    name: str
    variable: str
    description: str
    units: str
    index: dict[str, int]
    resampling: Literal["average", "mode"] = "average"

    @property
    def file(self) -> str:
        """Name of the file in the folder `cog`."""
        return f"{self.name}.tif"

    @property
    def style(self) -> str:
        """The name of its style for QGIS, beside it."""
        return f"{self.name}.qml"


def _cogs(config: RunFile, directory: OutPath) -> dict[str, list[_Cog]]:
    """Return files of every item of the catalogue: one item per depth, and one for the area of applicability."""
    of_cell = (*OF_CELL, *config.model.asked.names) if (directory / ERROR_MODEL).exists() else ()
    mapped = (*STATISTICS, *config.model.statistics, *of_cell)
    attrs = map_attrs(config)
    made_up = _made_up(config)
    items = {
        depth: [
            _Cog(
                band_name(depth, name, config.target.name), name,
                f"{depth} cm: {attrs[name]['long_name']}{made_up}", attrs[name]["units"], {"depth": index},
            )
            for name in mapped
        ]
        for index, depth in enumerate(config.depth_labels)
    }  # fmt: skip
    items[APPLICABLE] = [
        *(
            _Cog(name, name, attrs[name]["long_name"] + made_up, attrs[name]["units"], {})
            for name in (DISSIMILARITY, DENSITY, EXPECTED_ERROR)
        ),
        _Cog(APPLICABLE, APPLICABLE, "1 inside the area of applicability" + made_up, "1", {}, "mode"),
    ]
    return items


def write_cogs(
    client: Client, config: RunFile, directory: OutPath, records: Records, progress: Progress = silent
) -> None:
    """Write one COG per depth and statistic, and those of the area of applicability, a task each.

    Parameters
    ----------
    records : Records
        Of this map's files: those that are recorded and there are kept.
    """
    cogs = [cog for item in _cogs(config, directory).values() for cog in item]
    done = {
        cog.file
        for cog in cogs
        if all((directory / "cog" / name).exists() for name in (cog.file, cog.style)) and records.load(cog.file)
    }
    todo = [cog for cog in cogs if cog.file not in done]
    for _ in run_each(
        client, _write, todo, directory, records, total=len(cogs), before=len(done), progress=progress, name="cog"
    ):
        pass
    records.forget_others()
    keep = {name for cog in cogs for name in (cog.file, cog.style)}
    for other in children(directory / "cog"):
        if other.name not in keep:
            remove(other)


def item_files(config: RunFile, directory: OutPath) -> Iterator[tuple[str, str, dict[str, tuple[OutPath, OutPath]]]]:
    """Yield for every item of the catalogue its key, its title, and variable → the map's GeoTIFF and its style."""
    folder = directory / "cog"
    for key, cogs in _cogs(config, directory).items():
        depth = key in config.depth_labels
        title = f"{sentence(config.target.long)}, {key} cm" if depth else "Area of applicability"
        files = {cog.variable: (folder / cog.file, folder / cog.style) for cog in cogs}
        yield f"{config.target.name}-{key}" if depth else key, title + _made_up(config), files


def _made_up(config: RunFile) -> str:
    return " (made-up data)" if config.synthetic else ""


def _write(cog: _Cog, directory: OutPath, records: Records) -> None:
    missing = _NOT_APPLICABLE if cog.variable in (APPLICABLE, EXPECTED_ERROR) else _MISSING
    write_cog(
        directory / "maps.zarr", cog.variable, directory / "cog" / cog.file, index=cog.index, name=cog.name,
        description=cog.description, units=cog.units,
        missing=missing, resampling=cog.resampling,
    )  # fmt: skip
    write_style(directory / "cog" / cog.style, _style(cog, directory))
    records.save(cog.file, digest=np.array(digest_of(directory / "cog" / cog.file)))


def _style(cog: _Cog, directory: OutPath) -> Ramp | list[Class]:
    """Return the colours and limits of the report's figure."""
    if cog.variable == APPLICABLE:
        return [Class(1, _INSIDE, "inside the area of applicability")]
    if cog.variable.startswith(PROBABILITY):
        return Ramp(0, 1, "viridis_r", "%", 100)
    with open_dataset(directory / "maps.zarr") as maps:
        low, high = limits(picture(maps[cog.variable].isel(cog.index)).values)
    if cog.variable == DISSIMILARITY:
        threshold = Applicability.load(directory / "applicability.npz").threshold
        return Ramp(*distance_limits(low, high, threshold), "YlGnBu")
    if cog.variable == DENSITY:
        return Ramp(0, max(high, 1), "YlGnBu")
    if cog.variable == EXPECTED_ERROR:
        return Ramp(0, high, "magma_r", unit(cog.units))
    if cog.variable == "uncertainty":
        return Ramp(low, high, "magma_r", "%", 100)
    return Ramp(low, high, "magma_r" if cog.variable == "sd" else "viridis_r", unit(cog.units))
