"""On the virtual region, with sites at random, prediction intervals hold new observations as often as they say."""

import numpy as np
import pytest
from scipy.stats import lognorm

from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.validation.calibration import AtSites, calibration_table
from engine.validation.folds import random_folds
from engine.validation.interval_coverage import LEVELS, hold_out, hold_out_distributions
from engine.validation.predictive import METHODS, PROBABILITIES
from pipelines.soil_carbon.model.depth_regression import bootstrap_coefficients
from pipelines.soil_carbon.model.interval_tables import coverage_table
from pipelines.virtual.covariates import RANGES
from pipelines.virtual.landscape import Landscape
from pipelines.virtual.sites import LAYER_CV, MICROSITE_CV

DEPTHS = ("0-10", "0-30", "0-50")
SITES, NEW, REPLICATES = 147, 600, 40
XGBOOST = Member(
    family=FAMILIES["xgboost"],
    parameters={"n_estimators": 150, "learning_rate": 0.02, "max_depth": 2, "subsample": 0.75},
)


def observations(landscape: Landscape, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cores at places drawn at random from the region: their covariates and what they hold."""
    nodes = np.argwhere(landscape.inside)[rng.integers(0, landscape.inside.sum(), n)]
    x, y = landscape.plane.x[nodes[:, 1]], landscape.plane.y[nodes[:, 0]]
    vegetation = landscape.vegetation_at(x, y)
    covariates = np.column_stack([*landscape.at(list(RANGES), x, y), *(vegetation == k for k in range(3))])
    truth = np.column_stack(landscape.at([f"socd_{d}" for d in DEPTHS], x, y)).astype("float64")

    def noise(cv: float, shape: tuple[int, ...]) -> np.ndarray:
        sigma = np.sqrt(np.log1p(cv**2))
        return lognorm.rvs(sigma, scale=np.exp(-(sigma**2) / 2), size=shape, random_state=rng)

    layers = np.diff(truth, axis=1, prepend=0.0) * noise(MICROSITE_CV, (n, 1)) * noise(LAYER_CV, (n, len(DEPTHS)))
    return covariates.astype("float32"), np.cumsum(layers, axis=1)


@pytest.mark.slow
def test_coverage_of_new_observations_is_within_three_points(client, landscape):
    """One fold holds all new observations; the ensemble is trained on the sites alone. Mean over eight draws."""
    tables = []
    for seed in range(8):
        x, observed = observations(landscape, SITES + NEW, np.random.default_rng(seed))
        # Cores differ in depth: some sites tell nothing of the deeper layers.
        observed[:40, 2] = observed[:20, 1] = np.nan
        new = np.arange(SITES + NEW) >= SITES
        tables.append(_coverage_of(client, x, observed, new, seed))
    measured = np.mean(tables, axis=0)
    np.testing.assert_allclose(measured, np.tile(LEVELS, (len(DEPTHS), 1)), atol=0.03)


def _coverage_of(client, x, observed, new, seed):
    """Coverage of the observations that are `new`, shape (depths, levels), by an ensemble of the others."""
    item = ("new", new, np.random.SeedSequence(seed))
    shared = (x, observed, (XGBOOST,), bootstrap_coefficients, REPLICATES)
    found = client.submit(hold_out, item, *shared, pure=False).result()
    mapped = found[1:].reshape(len(METHODS), len(PROBABILITIES), *found.shape[1:])[0]
    target, shares = observed[new].T, []
    for level in LEVELS:
        lower, upper = (mapped[np.isclose(PROBABILITIES, 0.5 + side * level / 2)][0] for side in (-1, 1))
        shares.append(((lower <= target) & (target <= upper)).mean(axis=1))
    return np.array(shares).T


def test_cross_validated_coverage_is_near_nominal(client, landscape):
    """What `coverage.csv` says of one sample of 147 sites: within what so few can tell (3 SD of a share)."""
    x, observed = observations(landscape, SITES, np.random.default_rng(3))
    folds = {"random": random_folds(SITES, 10, np.random.default_rng(0))[None]}
    found = hold_out_distributions(
        client, x, observed, [XGBOOST], bootstrap_coefficients, folds, replicates=REPLICATES, seed=1
    )
    at = AtSites(np.arange(SITES).astype(str), np.full(SITES, ""), {"random": np.zeros((1, SITES))})
    calibration = calibration_table(found, at, DEPTHS)
    table = coverage_table(calibration)
    assert table["n"].eq(SITES).all() and len(table) == len(DEPTHS) * len(LEVELS)
    spread = 3 * np.sqrt(table["nominal"] * (1 - table["nominal"]) / SITES)
    assert (np.abs(table["measured"] - table["nominal"]) < spread).all()
    by_level = table.pivot(index="depth", columns="nominal", values="width")
    assert (by_level.diff(axis=1).iloc[:, 1:] > 0).all().all()
    # The map knows more than the sites' distribution alone.
    of_all = calibration.query("by == 'all' and nominal == 0.95").set_index(["method", "depth"])["crps"]
    assert (of_all["mapped"] < of_all["sites_mean"]).all()
