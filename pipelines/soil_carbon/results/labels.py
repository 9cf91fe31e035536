"""Labels of the run file, written into results that were made with other words; no number changes."""

import io

import pandas as pd

from engine.cube.build import layer_attrs
from engine.cube.features import Features
from engine.ensemble.manifest import read_manifest
from engine.ensemble.manifest import write_words as write_words_of_ensemble
from engine.ensemble.trained import Ensemble
from engine.storage.atomic import write_file
from engine.storage.paths import OutPath, read_file
from engine.storage.zarr_store import relabel
from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.model.drivers import find_drivers, labels_of
from pipelines.soil_carbon.prepared import ZONES
from pipelines.soil_carbon.results.products import map_attrs

COVARIATES = "covariates"
"""What the cube holds."""
_MADE_UP = "Made-up data of a virtual region; not a map of any real place."


def of_store(config: RunFile, what: str) -> dict[str, str]:
    """Return the attributes of a store."""
    comment = {"comment": _MADE_UP} if config.synthetic else {}
    return {"title": f"{config.title or config.name}: {what}"} | comment


def write_words(config: RunFile, directory: OutPath) -> bool:
    """Bring titles, labels, groups and units in cube, maps, manifest and `importance.csv` up to the run file.

    Importances of groups are measured again, in this process, where the groups are others.

    Returns
    -------
    bool
        Whether manifest and `importance.csv` have changed.
    """
    sources = dict(config.covariates) | ({} if isinstance(config.zones, str | None) else {ZONES: config.zones})
    of_layers = {name: layer_attrs(name, spec) for name, spec in sources.items()}
    relabel(directory / "cube.zarr", {"": of_store(config, COVARIATES), **of_layers}, ("comment",))
    relabel(
        directory / "maps.zarr",
        {"": of_store(config, config.target.long), "mean": map_attrs(config)["mean"]},
        ("comment",),
    )
    path = directory / "ensemble"
    before = read_manifest(path).features
    features = Features.of({name: config.covariates[name] for name in Features(before).covariates})
    if not write_words_of_ensemble(path, features, config.target.cf_units):
        return False
    if [column.group for column in before] == [column.group for column in features.columns]:
        _label_importance(directory / "importance.csv", labels_of(features))
        return True
    training = pd.read_parquet(io.BytesIO(read_file(path / "training.parquet")))
    importance = find_drivers(None, Ensemble(path), training).importance
    write_file(directory / "importance.csv", importance.to_csv(index=False).encode())
    return True


def _label_importance(path: OutPath, labels: dict[str, str]) -> None:
    """Rewrite the labels only: numbers stay as they are written."""
    table = pd.read_csv(io.BytesIO(read_file(path)), dtype=str, keep_default_na=False)
    rows = table["kind"] == "covariate"
    table.loc[rows, "label"] = table.loc[rows, "covariate"].map(labels)
    write_file(path, table.to_csv(index=False).encode())
