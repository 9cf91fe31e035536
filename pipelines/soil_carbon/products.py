"""The finished maps as files for others: COGs for GIS, a STAC collection to find them by."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pystac
from distributed import Client

from engine.blockwise import APPLICABLE, DISSIMILARITY, STATISTICS
from engine.ledger import Records, digest_of
from engine.outputs.cog import write_cog
from engine.outputs.place import OutPath, children
from engine.outputs.stac import Layers, write_collection
from engine.outputs.store import remove
from engine.tasks import Progress, run_each, silent
from pipelines.config import RunFile

_KG = "kg m-2"


def map_attrs(config: RunFile) -> dict[str, dict[str, Any]]:
    """CF attributes of each variable in `maps.zarr`."""
    level = f"{100 * config.model.interval:g} %"
    return {
        "mean": {"long_name": "soil organic carbon density, mean of the replicates", "units": _KG},
        "sd": {"long_name": "standard deviation over the replicates", "units": _KG},
        "ci_lower": {"long_name": "lower bound of the 95 % confidence interval of the ensemble mean", "units": _KG},
        "ci_upper": {"long_name": "upper bound of the 95 % confidence interval of the ensemble mean", "units": _KG},
        "uncertainty": {"long_name": "width of the 95 % confidence interval of the mean over the mean", "units": "1"},
        "pi_lower": {"long_name": f"lower bound of the {level} prediction interval of a new observation", "units": _KG},
        "pi_upper": {"long_name": f"upper bound of the {level} prediction interval of a new observation", "units": _KG},
        DISSIMILARITY: {"long_name": "dissimilarity from the training sites", "units": "1"},
        APPLICABLE: {
            "long_name": "area of applicability",
            "flag_values": [0, 1],
            "flag_meanings": "outside_or_missing inside",
        },
    }


def cog_name(depth: str, statistic: str) -> str:
    """File name of a map, e.g. `socd_0-30_mean.tif`."""
    return f"socd_{depth}_{statistic}.tif"


@dataclass(frozen=True)
class _Cog:
    """One file: which variable, which layer of it, and what to say of it."""

    file: str
    variable: str
    description: str
    units: str
    index: dict[str, int]
    resampling: Literal["average", "mode"] = "average"


def _cogs(config: RunFile) -> dict[str, list[_Cog]]:
    """Files of every item of the catalogue: one item per depth, and one for where the model applies."""
    attrs = map_attrs(config)
    made_up = _made_up(config)
    items = {
        depth: [
            _Cog(
                cog_name(depth, name), name, f"{depth} cm: {attrs[name]['long_name']}{made_up}", attrs[name]["units"],
                {"depth": index},
            )
            for name in STATISTICS
        ]
        for index, depth in enumerate(config.depth_labels)
    }  # fmt: skip
    items[APPLICABLE] = [
        _Cog("dissimilarity.tif", DISSIMILARITY, attrs[DISSIMILARITY]["long_name"] + made_up, "1", {}),
        _Cog("applicable.tif", APPLICABLE, "1 inside the area of applicability" + made_up, "1", {}, "mode"),
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
    cogs = [cog for item in _cogs(config).values() for cog in item]
    done = {cog.file for cog in cogs if (directory / "cog" / cog.file).exists() and records.load(cog.file)}
    todo = [cog for cog in cogs if cog.file not in done]
    for _ in run_each(
        client, _write, todo, directory, records, total=len(cogs), before=len(done), progress=progress, name="cog"
    ):
        pass
    records.forget_others()
    keep = {cog.file for cog in cogs}
    for other in children(directory / "cog"):
        if other.name not in keep:
            remove(other)


def write_catalog(config: RunFile, directory: OutPath, verdict: str) -> None:
    """Write the STAC collection of all results.

    Parameters
    ----------
    verdict : str
        What the validation says of the maps, in sentences.
    """
    name = config.title or config.name
    write_collection(
        directory,
        collection_id=config.name,
        title=name,
        description=f"Soil organic carbon density and stocks of {name}, mapped by Gelisol{_made_up(config)}; {verdict}",
        items=[
            Layers(
                id=f"{config.name}-{'socd-' if depth in config.depth_labels else ''}{depth}",
                title=(
                    f"Soil organic carbon density, {depth} cm"
                    if depth in config.depth_labels
                    else "Area of applicability"
                )
                + _made_up(config),
                files={cog.variable: directory / "cog" / cog.file for cog in cogs},
            )
            for depth, cogs in _cogs(config).items()
        ],
        assets=_assets(),
        keywords=["soil organic carbon", "permafrost", *(["made-up data"] if config.synthetic else [])],
    )


def _made_up(config: RunFile) -> str:
    return " (made-up data)" if config.synthetic else ""


def _write(cog: _Cog, directory: OutPath, records: Records) -> None:
    write_cog(
        directory / "maps.zarr", cog.variable, directory / "cog" / cog.file, index=cog.index,
        description=cog.description, units=cog.units, resampling=cog.resampling,
    )  # fmt: skip
    records.save(cog.file, digest=np.array(digest_of(directory / "cog" / cog.file)))


def _assets() -> dict[str, pystac.Asset]:
    return {
        "maps": pystac.Asset("maps.zarr", "Maps of all depths", media_type="application/vnd+zarr", roles=["data"]),
        "cube": pystac.Asset("cube.zarr", "Covariates", media_type="application/vnd+zarr", roles=["data"]),
        "stocks": pystac.Asset("stocks.csv", "Stocks by zone and depth", media_type="text/csv", roles=["data"]),
        "summary": pystac.Asset(
            "summary.json", "Headline and verdict", media_type="application/json", roles=["metadata"]
        ),
        "report": pystac.Asset("report.html", "Report", media_type="text/html", roles=["overview"]),
        "provenance": pystac.Asset(
            "provenance.json", "Versions, sources, timings", media_type="application/json", roles=["metadata"]
        ),
    }
