"""A made-up results folder: what the stages before the report leave behind, small and consistent."""

import json
from pathlib import Path

import numpy as np
import odc.geo.xr
import pandas as pd
import pyproj
import rasterio.transform
import xarray as xr
from made_up_tables import write_ensemble, write_stocks, write_validation
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from ruamel.yaml import YAML
from scipy.ndimage import gaussian_filter

DEPTHS = ((0, 10), (0, 30))
LABELS = ("0-10", "0-30")
ZONES = ("forest", "grassland", "wetland")
FLAGS = ("bulk_density_filled", "coarse_fragments_filled", "soc_from_som", "layers_split")
EQUAL_AREA = "+proj=laea +lat_0=50 +lon_0=123 +datum=WGS84 +units=m"
THRESHOLD = 0.6


def smooth_field(shape: tuple[int, int], seed: int, width: float) -> np.ndarray:
    """Correlated noise of mean 0 and SD 1."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), width)
    return (field - field.mean()) / field.std()


def make_run(
    directory: Path,
    crs: str = EQUAL_AREA,
    shape: tuple[int, int] = (60, 80),
    resolution: float = 10_000,
    truth: bool = True,
    centre: tuple[float, float] = (0.0, 0.0),
    n_sites: int = 147,
    depths: tuple[tuple[float, float], ...] = DEPTHS,
    labels: tuple[str, ...] = LABELS,
    zones: bool = True,
    families: tuple[str, ...] = ("rf", "xgboost"),
    schemes: tuple[str, ...] = ("random", "knndm"),
    coverage: int = 1,
) -> None:
    """Write what the stages before the report leave behind, made up but consistent; the first family is mapped."""
    rng = np.random.default_rng(5)
    directory.mkdir(parents=True)
    height, width = shape
    corner = centre[0] - width * resolution / 2, centre[1] + height * resolution / 2
    geobox = GeoBox(shape, rasterio.transform.from_origin(*corner, resolution, resolution), CRS(crs))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    domain = (x**2 + y**2 + 0.12 * smooth_field(shape, 1, 4)) < 0.9
    mapped = domain & ~((abs(x - 0.3) < 0.08) & (abs(y) < 0.06))
    first = 4.2 + 1.1 * smooth_field(shape, 2, min(shape) / 15)
    factors = np.linspace(1, 2.4, len(depths))[:, None, None]
    true = np.where(domain, factors * first, np.nan).astype("float32")
    mean = np.where(mapped, true + factors * 0.3 * smooth_field(shape, 3, 3) + 0.1, np.nan).astype("float32")
    sd = np.where(mapped, 0.1 * mean * (1 + 0.5 * smooth_field(shape, 4, 5) ** 2), np.nan).astype("float32")
    half = np.float32(1.96 / 10) * sd
    reach = np.where(mapped, factors * (2 + 0.2 * smooth_field(shape, 8, 3)), np.nan).astype("float32")
    maps = {"mean": mean, "sd": sd, "ci_lower": mean - half, "ci_upper": mean + half, "uncertainty": 2 * half / mean}
    maps |= {"pi_lower": mean - reach, "pi_upper": mean + reach}
    distance = np.where(mapped, np.abs(0.25 + 0.18 * smooth_field(shape, 7, 3)), np.nan).astype("float32")
    near = np.where(mapped, np.round(np.maximum(THRESHOLD - distance, 0) * 60), np.nan).astype("float32")
    flat = {"dissimilarity": distance, "applicable": (distance <= THRESHOLD).astype("uint8")}
    flat |= {
        "local_point_density": near,
        "expected_error": np.where(near > 0, 0.8 + 1 / np.maximum(near, 1), np.nan).astype("float32"),
    }
    depth = {"depth": np.array(labels, dtype="U8")}
    variables = {k: (("depth", "y", "x"), v) for k, v in maps.items()} | {k: (("y", "x"), v) for k, v in flat.items()}
    write_store(directory / "maps.zarr", geobox, variables, depth)
    zone = np.digitize(smooth_field(shape, 6, 6), [-0.5, 1.0]).astype("uint8") + 1
    cube = {"domain": (("y", "x"), domain.astype("uint8")), "vegetation": (("y", "x"), zone)}
    write_store(directory / "cube.zarr", geobox, cube, {})
    if truth:
        write_store(directory / "truth.zarr", geobox, {"socd": (("depth", "y", "x"), true)}, depth)

    sites = make_sites(geobox, mapped, zone, true, rng, n_sites, labels)
    write_profiles(directory, sites, rng, labels)
    used = sites[sites["not_modelled"] == ""].reset_index(drop=True)
    training = used.rename(columns={f"socd_{labels[0]}": "y"})
    training["vegetation"] = training["code"]
    training = training[["site", "lon", "lat", "zone", "y", "tn", "vegetation"]]
    if not zones:
        training["zone"] = ""
    write_ensemble(directory, training, labels, families[0], THRESHOLD, rng)
    write_validation(directory, training, families, schemes, labels, coverage, rng)
    named = dict(enumerate(ZONES, start=1)) if zones else {}
    area = geobox.resolution.x**2 / 1e6
    write_stocks(directory, mean, mapped, distance <= THRESHOLD, zone, named, labels, area)
    write_provenance(directory, mapped, distance <= THRESHOLD, geobox)
    run = {
        "name": "made-up",
        "title": "A made-up <region> & its soils",
        "synthetic": truth,
        "domain": {"bounds": [115, 47, 130, 54], "crs": crs, "resolution": resolution, "chunk": 512},
        "covariates": {
            "mat": {"href": "tmp_*.nc", "units": "degC", "group": "climate", "period": [2000, 2020]},
            "tn": {"href": "raw/tn.tif", "units": "g/kg", "group": "soil", "label": "Total nitrogen"},
            "vegetation": {"href": "v.gpkg", "classes": {z: [i] for i, z in enumerate(ZONES)}, "group": "vegetation"},
        },
        "observations": {"table": "profiles.csv", "at_site": {"tn": "tn"}},
        "depths": [list(d) for d in depths],
        "model": {
            "families": list(families),
            "validation": {"folds": 10, "repeats": 4, "schemes": list(schemes), "coverage": coverage},
        },
        "zones": "vegetation" if zones else None,
        "output": {"dir": "."},
        "truth": "truth.zarr" if truth else None,
    }
    YAML().dump(run, directory / "run.yaml")


def write_store(path: Path, geobox: GeoBox, variables: dict, coords: dict) -> None:
    store = xr.Dataset(variables, coords=coords | odc.geo.xr.xr_coords(geobox))
    for variable in store.data_vars.values():
        variable.attrs["grid_mapping"] = "spatial_ref"
    store.to_zarr(path, consolidated=False)


def make_sites(geobox, mapped, zone, true, rng, n_sites, labels) -> pd.DataFrame:
    """One row per site: place, zone of its cell, covariates, densities `socd_LABEL`, and why it is left out."""
    rows, cols = np.nonzero(mapped)
    picked = rng.choice(len(rows), n_sites, replace=len(rows) < n_sites)
    rows, cols = rows[picked], cols[picked]
    px, py = geobox.affine @ (cols + 0.5, rows + 0.5)
    lon, lat = pyproj.Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True).transform(px, py)
    code = zone[rows, cols]
    names = np.array(ZONES)[code - 1]
    sites = pd.DataFrame({"site": [f"S{i:04d}" for i in range(n_sites)], "lon": lon, "lat": lat})
    sites = sites.assign(vegetation=names, soil_type="gelisol", tn=rng.gamma(4, 1, n_sites), zone=names, code=code)
    for i, label in enumerate(labels):
        known = rng.random(n_sites) > 0.08 * (i + 1)
        sites[f"socd_{label}"] = np.where(known, true[i, rows, cols] * rng.normal(1, 0.18, n_sites), np.nan)
    reason = np.where(np.arange(n_sites) < 2, "without a value of mat", "")
    sites["not_modelled"] = np.where(sites[f"socd_{labels[0]}"].isna(), "without a density of the first depth", reason)
    return sites


def write_profiles(directory: Path, sites: pd.DataFrame, rng: np.random.Generator, labels) -> None:
    long = []
    for i, label in enumerate(labels):
        socd = sites[f"socd_{label}"]
        flags = {f: rng.integers(0, 2, len(sites)) for f in FLAGS}
        rule = np.where(socd.isna(), "", rng.choice(["exact", "spline", "split"], len(sites), p=[0.7, 0.25, 0.05]))
        excluded = np.where(socd.isna(), "no SOC <measured>" if i == 0 else "no layer reaches 30 cm", "")
        columns = {"depth": label, "socd": socd, "rule": rule, "gap_bridged": 0.0, "excluded": excluded}
        kept = sites[["site", "lon", "lat", "vegetation", "soil_type", "tn"]]
        long.append(kept.assign(source="survey", **columns, **flags, not_modelled=sites["not_modelled"]))
    pd.concat(long).to_parquet(directory / "profiles.parquet")
    line = {"slope": 2.4, "r2": 0.83, "p_value": 1e-40, "rmse": 0.9, "n": 120}
    regressions = [{"depth": d, "intercept": 0.05} | line for d in labels[1:]]
    table = pd.DataFrame(regressions, columns=["depth", "intercept", *line])
    table.to_csv(directory / "depth_regression.csv", index=False)


ABOUT = {
    "title": "Soil grids",
    "version": "2.0",
    "provider": "ISRIC",
    "providers": [["ISRIC", ["producer"]]],
    "licence": "CC-BY-4.0",
    "terms": "",
    "doi": "10.5194/soil-7-217-2021",
    "address": "https://soilgrids.org",
    "period": [2020, 2020],
}
"""What the record knows of the data set of `tn`."""


def write_provenance(directory: Path, mapped: np.ndarray, applicable: np.ndarray, geobox: GeoBox) -> None:
    area = geobox.resolution.x**2 / 1e6
    cells = int(mapped.sum())
    provenance = {
        "gelisol": "0.1.0",
        "versions": {"numpy": "2.4.6", "xgboost": "3.2.0"},
        "seed": 20250731,
        "started": "2026-11-22T13:00:00+00:00",
        "stages": {
            "profiles": {"seconds": 1.2, "notes": ["warning: a <look> is asked for"]},
            "cube": {"seconds": 75.0},
            "train": {"seconds": 300.0, "block_km": 74.8, "failed": [], "notes": []},
            "map": {"seconds": 4000, "notes": ["Thinned to cells at least 150 km apart."]},
        },
        "peak_memory": {"worker_bytes": 812_000_000},
        "sources": {
            "tn": {
                "files": 1, "bytes": 3_200_000, "fingerprint": "ab12" * 4, "resolution": 1000.0, "crs_unit": "metre",
                "period": "", "about": [ABOUT],
            },
            "mat": {
                "files": 12, "bytes": 5_000, "fingerprint": "cd34" * 4, "resolution": 0.008333,
                "crs_unit": "degree", "period": "2000-01 to 2020-12",
            },
        },
        "grid": {
            "crs": "laea",
            "shape": list(mapped.shape),
            "resolution": geobox.resolution.x,
            "chunk": 512,
            "cells_inside": cells + 80,
            "cells_mapped": cells,
            "area_km2": cells * area,
        },
        "cluster": {"workers": 2, "threads": 2},
    }  # fmt: skip
    (directory / "provenance.json").write_text(json.dumps(provenance))
