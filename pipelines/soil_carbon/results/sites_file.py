"""`sites.gpkg`: every site with what was observed, what the replicates without it predict, and whether it was used."""

import io
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd

from engine.ensemble.out_of_bag import out_of_bag_means
from engine.ensemble.trained import Ensemble
from engine.storage.atomic import staged
from engine.storage.paths import OutPath, read_file
from pipelines.runfile.target import CARBON_DENSITY, Target
from pipelines.soil_carbon.model.training_table import LEFT_OUT
from pipelines.soil_carbon.profiles.source_kinds import kind_of
from pipelines.soil_carbon.results.target_tables import known_columns

LAYER = "sites"
SITES = "sites.gpkg"
_OF_SITE = ("site", "lon", "lat", "source", "vegetation", "soil_type")


def write_sites(directory: OutPath, labels: tuple[str, ...], target: Target = CARBON_DENSITY) -> None:
    """Write the layer of sites from what lies in the folder of a run.

    Parameters
    ----------
    directory : OutPath
        The folder.
    labels : tuple of str
        Depths, e.g. `0-10`, the first of which is modelled.
    target : Target
        What is mapped.
    """
    table = read_sites(directory, labels, target)
    with staged(directory / SITES) as stage, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The filename extension should be")  # until the file has its name
        table.to_file(stage, driver="GPKG", layer=LAYER, engine="pyogrio")


def read_sites(directory: OutPath, labels: tuple[str, ...], target: Target = CARBON_DENSITY) -> gpd.GeoDataFrame:
    """Make the layer of sites of what lies in the folder of a run; parameters as for `write_sites`.

    Before the stage `train` is done, predictions and residuals are empty; before `select` is done, no site is used.
    """
    profiles = known_columns(pd.read_parquet(io.BytesIO(read_file(directory / "profiles.parquet"))), target)
    if LEFT_OUT not in profiles:
        profiles[LEFT_OUT] = "not yet held against the covariates (stage `select`)"
    try:
        training = pd.read_parquet(io.BytesIO(read_file(directory / "ensemble" / "training.parquet")))
    except FileNotFoundError:
        training, predicted = pd.DataFrame({"site": []}), np.empty((0, len(labels)))
    else:
        ensemble = Ensemble(directory / "ensemble")
        predicted = out_of_bag_means(ensemble.out_of_bag, ensemble.coefficients)
    return site_table(profiles, training, predicted, labels)


def site_table(
    profiles: pd.DataFrame, training: pd.DataFrame, predicted: np.ndarray, labels: tuple[str, ...]
) -> gpd.GeoDataFrame:
    """Return one point per site.

    Parameters
    ----------
    profiles : DataFrame
        As in `profiles.parquet`.
    training : DataFrame
        `site`, one row for each row of `predicted`.
    predicted : ndarray, shape (sites, depths)
        Out of bag, kg C/m².
    labels : tuple of str
        Depths.

    Returns
    -------
    GeoDataFrame
        EPSG:4326: `site, lon, lat, source, source_kind, vegetation, soil_type, used` (whether it trains the model)`,
        why_not` (or empty), and per depth `observed_…`, `predicted_…` and `residual_…` (observed less predicted),
        kg C/m², empty where unknown, and `excluded_…` (why the profile has no density, or empty).
    """
    first = profiles.drop_duplicates("site").reset_index(drop=True)
    table = first[[column for column in _OF_SITE if column in first]].copy()
    table.insert(4, "source_kind", [kind_of(source) for source in first["source"]])
    table["used"] = (first[LEFT_OUT] == "").to_numpy()
    table["why_not"] = first[LEFT_OUT].to_numpy()
    places = pd.Index(training["site"])
    for depth, label in enumerate(labels):
        rows = profiles[profiles["depth"] == label].set_index("site")
        observed = table["site"].map(rows["socd"]).astype("float64")
        of_model = table["site"].map(pd.Series(predicted[:, depth], index=places)).astype("float64")
        table[f"observed_{label}"] = observed
        table[f"predicted_{label}"] = of_model
        table[f"residual_{label}"] = observed - of_model
        table[f"excluded_{label}"] = table["site"].map(rows["excluded"]).fillna("").astype(str)
    points = gpd.points_from_xy(table["lon"], table["lat"])
    return gpd.GeoDataFrame(table, geometry=points, crs="EPSG:4326")
