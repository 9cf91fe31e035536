"""Tables of a made-up run: validation, ensemble, drivers, stocks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from engine.cube.features import Features
from engine.ensemble.manifest import Manifest
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec
from engine.validation.applicability import Applicability
from engine.validation.calibration import AtSites, calibration_table, pit_table
from engine.validation.cross_validation import Scores
from engine.validation.interval_coverage import HeldOutDistributions
from engine.validation.predictive import METHODS, PROBABILITIES

REPEATS, REPLICATES = 4, 100


def write_validation(
    directory: Path,
    training: pd.DataFrame,
    families: Sequence[str],
    schemes: Sequence[str],
    labels: Sequence[str],
    coverage: int,
    rng: np.random.Generator,
) -> None:
    """`selection`, `tuning`, `validation…`, and on intervals `coverage`, `calibration`, `pit`."""
    selection = pd.DataFrame(
        {
            "covariate": ["mat", "tn", "vegetation"],
            "test": ["spearman", "spearman", "kruskal-wallis"],
            "rho": [-0.1, 0.6, np.nan],
            "p_value": [0.3, 1e-9, 0.002],
            "vif": [1.2, 1.5, np.inf],
            "kept": [False, True, True],
            "reason": ["Left out: p = 0.300.", "Kept: ρ = +0.60.", "Kept."],
            "effect": [0.01, 0.36, 0.16],
            "n": len(training),
        }
    )
    selection.to_csv(directory / "selection.csv", index=False)
    tuning = [
        {"family": family, "chosen": i == 1, "rmse": 1.5 - 0.1 * i, "rmse_sd": 0.2}
        | {name: values[min(i, len(values) - 1)] for name, values in FAMILIES[family].grid.items()}
        for family in families
        for i in range(2)
    ]
    pd.DataFrame(tuning).to_csv(directory / "tuning.csv", index=False)
    observed = training["y"].to_numpy()
    scores, zones, predictions = [], [], []
    for family in families:
        for scheme in schemes:
            spread = 0.9 + 0.1 * families.index(family)
            rows = [4.2 + 0.6 * (observed - 4.2) + rng.normal(0, spread, len(observed)) for _ in range(REPEATS)]
            names = {"family": family, "scheme": scheme}
            scores += [names | {"repeat": i} | vars(Scores.of(observed, row)) for i, row in enumerate(rows)]
            mean = np.mean(rows, axis=0)
            predictions.append(
                pd.DataFrame(names | {"site": training["site"], "observed": observed, "predicted": mean})
            )
            for zone, here in training.groupby("zone").groups.items():
                at = here.to_numpy()
                zones.append(names | {"zone": zone, "n": len(at)} | vars(Scores.of(observed[at], mean[at])))
    pd.DataFrame(scores).to_csv(directory / "validation.csv", index=False)
    pd.DataFrame(zones).to_csv(directory / "validation_zones.csv", index=False)
    skill = [
        {"family": family, "scheme": scheme, "depth": label, "skill": 0.36, "lower": 0.2, "upper": 0.5, "n": 100,
         "groups": 30.0, "rmse": 0.8, "rmse_of_mean": 1.0}
        for family in families
        for scheme in schemes
        for label in labels
    ]  # fmt: skip
    pd.DataFrame(skill).to_csv(directory / "skill.csv", index=False)
    pd.concat(predictions).to_parquet(directory / "validation_predictions.parquet")
    if coverage:
        table = [
            {"scheme": s, "depth": d, "nominal": p, "measured": p - 0.02, "n": 100 * coverage, "width": 8 * p}
            for s in schemes
            for d in labels
            for p in (0.5, 0.8, 0.9, 0.95)
        ]
        pd.DataFrame(table).to_csv(directory / "coverage.csv", index=False)
        write_calibration(directory, training, schemes, labels, coverage)


def write_calibration(
    directory: Path,
    training: pd.DataFrame,
    schemes: Sequence[str],
    labels: Sequence[str],
    repeats: int,
) -> None:
    """`calibration.csv` and `pit.csv`: normal distributions, honest those of the map, wide those of the references."""
    n, k, rng = len(training), len(labels), np.random.default_rng(2)
    observed = np.column_stack([training["y"].to_numpy() * (1 + i) for i in range(k)])
    mean = observed.T + rng.normal(size=(repeats, k, n))
    spread = np.array([1.0] + [1.5] * (len(METHODS) - 1))[:, None, None, None, None]
    ends = mean + spread * norm.ppf(PROBABILITIES)[:, None, None, None]
    folds = dict.fromkeys(schemes, np.broadcast_to(np.arange(n) % 5, (repeats, n)))
    found = HeldOutDistributions(observed, folds, dict.fromkeys(schemes, mean), dict.fromkeys(schemes, ends))
    far = dict.fromkeys(schemes, rng.random((repeats, n)))
    at = AtSites(training["site"].to_numpy(), training["zone"].to_numpy(), far)
    calibration_table(found, at, labels).to_csv(directory / "calibration.csv", index=False)
    pit_table(found, at, labels).to_csv(directory / "pit.csv", index=False)


def write_ensemble(
    directory: Path,
    training: pd.DataFrame,
    labels: Sequence[str],
    family: str,
    threshold: float,
    rng: np.random.Generator,
) -> None:
    """`ensemble/`, `applicability.npz`, `importance.csv`, `partial_dependence.csv`."""
    ensemble = directory / "ensemble"
    ensemble.mkdir()
    training.to_parquet(ensemble / "training.parquet")
    coefficients = np.zeros((REPLICATES, len(labels), 2))
    coefficients[:, 0, 1] = 1
    coefficients[:, 1:, 0] = rng.normal(0.05, 0.2, (REPLICATES, len(labels) - 1))
    coefficients[:, 1:, 1] = rng.normal(2.4, 0.05, (REPLICATES, len(labels) - 1))
    np.save(ensemble / "coefficients.npy", coefficients)
    parameters = {name: values[0] for name, values in FAMILIES[family].grid.items()}
    classes = ("forest", "grassland", "wetland")
    category = source_spec(href="v.gpkg", classes={name: (i,) for i, name in enumerate(classes)}, group="vegetation")
    features = Features.of({"tn": source_spec(href="tn.tif", group="soil"), "vegetation": category}).columns
    manifest = Manifest(
        gelisol="0.1.0",
        members=(Member(family=FAMILIES[family], parameters=parameters),),
        features=features,
        outputs=tuple(labels),
        units="kg m-2",
        sites=len(training),
        replicates=REPLICATES,
        seed=20250731,
        largest=9.0,
        files={},
    )
    (ensemble / "manifest.json").write_text(json.dumps(manifest.model_dump(mode="json")))
    Applicability(
        ("tn",), np.ones(1), (), np.zeros((3, 1)), 1.0, np.zeros((1, 3), "float32"), threshold, np.zeros(3, "int32")
    ).save(directory / "applicability.npz")
    numbers = ["gain_percent", "gain_sd", "permutation_rmse", "permutation_sd"]
    importance = pd.DataFrame(
        [
            ("covariate", "tn", "soil", "Total nitrogen", 70.5, 5, 0.3, 0.05),
            ("covariate", "vegetation", "vegetation", "vegetation", 29.5, 5, 0.05, 0.02),
            ("group", "", "soil", "soil", 70.5, 5, 0.3, 0.05),
            ("group", "", "vegetation", "vegetation", 29.5, 5, 0.05, 0.02),
        ],
        columns=["kind", "covariate", "group", "label", *numbers],
    )
    importance.to_csv(directory / "importance.csv", index=False)
    value = np.linspace(1, 9, 12)
    curve = pd.DataFrame({"covariate": "tn", "value": value, "class": "", "mean": 3 + 0.3 * value})
    points = pd.DataFrame({"covariate": "vegetation", "value": np.nan, "class": classes, "mean": [4.5, 3.5, 5.0]})
    both = pd.concat([curve, points])
    both.assign(lower=both["mean"] - 0.3, upper=both["mean"] + 0.4).to_csv(
        directory / "partial_dependence.csv", index=False
    )


def write_stocks(
    directory: Path,
    mean: np.ndarray,
    mapped: np.ndarray,
    applicable: np.ndarray,
    zone: np.ndarray,
    zones: Mapping[int, str],
    labels: Sequence[str],
    area: float,
) -> None:
    """`stocks.csv` and its like, `stock_uncertainty.csv`, `representativeness.csv`, `zone_differences.csv`."""
    for name, cells in (("stocks", mapped), ("stocks_applicable", mapped & applicable)):
        rows = []
        for code, of in (*zones.items(), (0, "total")):
            for i, label in enumerate(labels):
                values = mean[i][cells & ((zone == code) | (code == 0))].astype("float64")
                rows.append((of, label, values.size * area, values.mean(), values.std(), values.sum() * area * 1e-6))
        table = pd.DataFrame(rows, columns=["zone", "depth", "area_km2", "socd_mean", "socd_spatial_sd", "stock_pg"])
        table["stock_sd_pg"] = 0.03 * table["stock_pg"]
        table["stock_lower_pg"], table["stock_upper_pg"] = 0.94 * table["stock_pg"], 1.06 * table["stock_pg"]
        table.to_csv(directory / f"{name}.csv", index=False)
    sources = {"model": 0.04, "depth_regression": 0.02, "replicates": 0.05}
    uncertainty = [
        {"zone": of, "depth": label, "source": source, "sd_pg": sd}
        for of in (*zones.values(), "total")
        for label in labels
        for source, sd in sources.items()
    ]
    pd.DataFrame(uncertainty).to_csv(directory / "stock_uncertainty.csv", index=False)
    of_zones = [(of, 20, 10.1, 10.0, 1.0, 0.1) for of in (*zones.values(), "total")]
    columns = ["zone", "sites", "at_sites", "of_map", "map_sd", "shift"]
    pd.DataFrame(of_zones, columns=columns).to_csv(directory / "representativeness.csv", index=False)
    columns = [
        "depth", "cells", "zone_a", "zone_b", "n_a", "n_b", "statistic", "z", "p", "p_adjusted", "letters_a",
        "letters_b", "apart_km",
    ]  # fmt: skip
    tests = []
    for label in labels if len(zones) == 3 else ():
        a, b, c = zones.values()
        tests += [
            (label, "all", "*", "*", 3000, 3, 800.0, np.nan, 0.0, np.nan, "", "", 0.0),
            (label, "all", a, b, 1500, 1000, np.nan, 20.0, 0.0, 0.0, "b", "c", 0.0),
            (label, "all", a, c, 1500, 500, np.nan, -9.0, 0.0, 0.0, "b", "a", 0.0),
            (label, "all", b, c, 1000, 500, np.nan, -25.0, 0.0, 0.0, "c", "a", 0.0),
            (label, "thinned", "*", "*", 12, 2, 4.1, np.nan, 0.042, np.nan, "", "", 150.0),
            (label, "thinned", a, b, 8, 4, np.nan, 2.0, 0.042, 0.042, "a", "b", 150.0),
        ]
    pd.DataFrame(tests, columns=columns).to_csv(directory / "zone_differences.csv", index=False)
