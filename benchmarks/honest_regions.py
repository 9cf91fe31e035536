"""Made-up regions without files: the cells of the virtual region, sites on it, and an ensemble trained on them."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pyproj import Transformer
from scipy.sparse import csr_array
from scipy.spatial import KDTree

import engine
from engine.cube.features import Feature, Features
from engine.ensemble.bootstrap import Ensemble, bootstrap_indices
from engine.ensemble.importance import column_blocks, gain_shares
from engine.ensemble.packed import train_packed
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.validation.applicability import Applicability
from engine.validation.folds import knndm_folds
from pipelines.soil_carbon.model.depth_regression import bootstrap_coefficients
from pipelines.soil_carbon.profiles.read_profiles import read_profiles
from pipelines.virtual.carbon import DEPTHS, label
from pipelines.virtual.covariates import CLASSES, RANGES, classify
from pipelines.virtual.landscape import SPACING, Landscape, make_landscape
from pipelines.virtual.outline import REGION_CRS
from pipelines.virtual.profiles import TN_CV, make_layers, punch_gaps
from pipelines.virtual.sampling import Sampling
from pipelines.virtual.sites import core_densities, make_sites

LABELS = tuple(label(depth) for depth in DEPTHS)
SIDE = 5
"""Of a cell, nodes of the landscape."""
CELL_KM = SIDE * SPACING / 1000
POLYGONS = {"10² km²": (2, 60), "10³ km²": (6, 60), "10⁴ km²": (20, 30), "10⁵ km²": (63, 10)}
"""Squares: cells a side, and how many of them, at random places."""
CORES = 600
"""New cores, at random places."""
PARAMETERS = {"n_estimators": 150, "learning_rate": 0.02, "max_depth": 2, "subsample": 0.75}
"""Of XGBoost: what the demo's search finds."""
FOLDS, REPEATS = 10, 3
GAINS = 20
"""Of the area of applicability: folds and their repeats, and replicates whose gains are averaged."""
_STREAM = 2000
"""Keeps these regions apart from that of the demo."""
_ENDS = {"topsoil": 10, "upper": 30}
"""Depth of cores of which not all is known, cm."""


@dataclass(frozen=True)
class Design:
    """How sites are chosen, and whether their densities are read from a layer table with gaps."""

    sampling: Sampling
    layers: bool = False


DESIGNS = {
    "random": Design(Sampling("random", independent=True)),
    "clustered": Design(Sampling("clustered", independent=True)),
    "preferential": Design(Sampling("preferential", independent=True)),
    "transect": Design(Sampling("transect", independent=True)),
    "untidy": Design(Sampling("random", repeated=15, position_error=1000.0, independent=True), layers=True),
}
"""`untidy`: 15 sites with further cores in the same cell, places off by 1 km, densities of layers with gaps."""


@dataclass(frozen=True)
class Region:
    """The cells of a region, all of one area.

    Attributes
    ----------
    x, y : ndarray, shape (cells,)
        Centres, m.
    zone : ndarray of int, shape (cells,)
        1 … 3.
    covariates : ndarray of float32, shape (cells, columns)
        Design matrix.
    truth : ndarray, shape (cells, depths)
        kg C/m².
    supports : dict
        Support → means over groups of cells, sparse, shape (groups, cells).
    """

    x: np.ndarray
    y: np.ndarray
    zone: np.ndarray
    covariates: np.ndarray
    truth: np.ndarray
    supports: dict[str, csr_array]


@dataclass(frozen=True)
class Sites:
    """What is known of the sites: places (m, degrees), zone from 1, design matrix, densities (NaN: not known)."""

    x: np.ndarray
    y: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    zone: np.ndarray
    covariates: np.ndarray
    observed: np.ndarray


@dataclass(frozen=True)
class Cores:
    """Cores at random places: their cells, and what they hold at every depth, shape (cores, depths), kg C/m²."""

    cell: np.ndarray
    held: np.ndarray


def landscape_of(number: int) -> Landscape:
    """The landscape of a region."""
    return make_landscape(_stream(number, 0))


def region_of(landscape: Landscape, number: int) -> Region:
    """The cells of a region, most of which is land inside the outline."""
    land, (rows, columns) = landscape.inside, (n // SIDE for n in landscape.inside.shape)

    def blocks(values: np.ndarray) -> np.ndarray:
        cut = np.where(land, values, 0)[: rows * SIDE, : columns * SIDE]
        return cut.reshape(rows, SIDE, columns, SIDE).sum(axis=(1, 3), dtype="float64")

    count = blocks(np.ones(land.shape))
    known = count > SIDE**2 / 2

    def means(values: np.ndarray) -> np.ndarray:
        return np.asarray(blocks(values)[known] / count[known])

    fields = landscape.fields
    classes = classify(fields["wetland"], fields["grassland"])
    zone = np.stack([means(classes == code) for code in range(len(CLASSES))]).argmax(axis=0) + 1
    numbers = np.column_stack([means(fields[name]) for name in RANGES])
    row, column = np.nonzero(known)
    centre = SIDE * np.stack([row, column]) + (SIDE - 1) / 2
    supports = {name: _squares(known, *of, np.random.default_rng(_stream(number, 1))) for name, of in POLYGONS.items()}
    supports |= {name: _groups([zone == code], zone.size) for code, name in enumerate(CLASSES, start=1)}
    supports["total"] = _groups([np.ones(zone.size, bool)], zone.size)
    return Region(
        x=landscape.plane.west + centre[1] * SPACING, y=landscape.plane.north - centre[0] * SPACING, zone=zone,
        covariates=_design_matrix(numbers, zone),
        truth=np.column_stack([means(fields[f"socd_{depth}"]) for depth in LABELS]), supports=supports,
    )  # fmt: skip


def sites_of(landscape: Landscape, region: Region, number: int, design: Design) -> Sites:
    """Sites by a design: the covariates of the cells in which they are reported, what is measured there instead."""
    made = make_sites(landscape, _stream(number, 2), design.sampling)
    rng = np.random.default_rng(_stream(number, 3))
    lon, lat = made["lon"].to_numpy(), made["lat"].to_numpy()
    x, y = Transformer.from_crs("EPSG:4326", REGION_CRS, always_xy=True).transform(lon, lat)
    if design.layers:
        layers = punch_gaps(make_layers(made, _stream(number, 4)), _stream(number, 5))
        with TemporaryDirectory() as folder:
            layers.to_csv(Path(folder, "profiles.csv"), index=False)
            wide = read_profiles(Path(folder, "profiles.csv"), DEPTHS, {}, {"tn": "tn"}).wide()
        wide = wide.set_index("site").reindex(made["site"])
        tn, observed = wide["tn"].to_numpy("float64"), wide[[f"socd_{depth}" for depth in LABELS]].to_numpy("float64")
    else:
        tn = made["tn"].to_numpy() * rng.lognormal(-(TN_CV**2) / 2, TN_CV, len(made))
        observed = made[[f"core_{depth}" for depth in LABELS]].to_numpy()
        ends = made["design"].map(_ENDS).fillna(np.inf).to_numpy()
        observed = np.where(ends[:, None] < [bottom for _, bottom in DEPTHS], np.nan, observed)
    zone = made["vegetation"].map({name: code for code, name in enumerate(CLASSES, start=1)}).to_numpy()
    _, cell = KDTree(np.column_stack([region.x, region.y])).query(np.column_stack([x, y]))
    numbers = region.covariates[cell, : len(RANGES)].astype("float64")
    place = list(RANGES).index("tn")
    numbers[:, place] = np.where(np.isfinite(tn), tn, numbers[:, place])
    return Sites(x, y, lon, lat, zone, _design_matrix(numbers, zone), observed)


def new_cores(landscape: Landscape, region: Region, number: int) -> Cores:
    """Cores that no model knows."""
    rng = np.random.default_rng(_stream(number, 6))
    cell = rng.integers(0, len(region.x), CORES)
    away = rng.uniform(-0.5, 0.5, (2, CORES)) * CELL_KM * 1000
    there = landscape.at([f"socd_{depth}" for depth in LABELS], region.x[cell] + away[0], region.y[cell] + away[1])
    return Cores(cell, core_densities(np.column_stack(there).astype("float64"), rng))


def train(sites: Sites, replicates: int, seed: int) -> Ensemble:
    """Replicates of the study's model, with fixed hyperparameters, and the regressions of the deeper intervals."""
    rows = bootstrap_indices(len(sites.x), replicates, seed)
    coefficients = bootstrap_coefficients(sites.observed[:, 0], sites.observed[:, 1:], rows, LABELS)
    return train_packed(
        None, sites.covariates, sites.observed, _features(), coefficients,
        [Member(family=FAMILIES["xgboost"], parameters=PARAMETERS)], outputs=LABELS, units="kg m-2", seed=seed,
        version=engine.__version__, least=0.0,
    ).ensemble  # fmt: skip


def applicable(region: Region, sites: Sites, ensemble: Ensemble, seed: int) -> np.ndarray:
    """Which cells lie in the area of applicability, by kNNDM's folds and the shares of gain, as in a run."""
    rng = np.random.default_rng(seed)
    domain = Transformer.from_crs(REGION_CRS, "EPSG:4326", always_xy=True).transform(region.x[::5], region.y[::5])
    folds = [knndm_folds(sites.lon, sites.lat, *domain, FOLDS, rng).folds for _ in range(REPEATS)]
    names = ensemble.features.names
    gains = np.mean([gain_shares(models, [1.0], names) for models in ensemble.models[:GAINS]], axis=0)
    for columns in column_blocks(ensemble.features, lambda feature: feature.covariate).values():
        gains[columns] = gains[columns].mean()
    area = Applicability.fit(sites.covariates, ensemble.features, gains, folds)
    return area.applicable(area.dissimilarity(region.covariates))


def _features() -> Features:
    numbers = [Feature(name, name, "", "1", name) for name in RANGES]
    classes = [Feature(f"vegetation={name}", "vegetation", "", "1", name, k) for k, name in enumerate(CLASSES, start=1)]
    return Features((*numbers, *classes))


def _stream(number: int, part: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(number, spawn_key=(_STREAM, part))


def _design_matrix(numbers: np.ndarray, zone: np.ndarray) -> np.ndarray:
    classes = zone[:, None] == np.arange(1, len(CLASSES) + 1)
    return np.concatenate([numbers, classes], axis=1).astype("float32")


def _squares(known: np.ndarray, side: int, number: int, rng: np.random.Generator) -> csr_array:
    """Squares of cells that lie at least half in the region."""
    cell = np.full(known.shape, -1)
    cell[known] = np.arange(known.sum())
    groups: list[np.ndarray] = []
    while len(groups) < number:
        row, column = (rng.integers(0, n - side + 1) for n in known.shape)
        inside = cell[row : row + side, column : column + side]
        if (inside >= 0).mean() >= 0.5:
            chosen = np.zeros(int(known.sum()), bool)
            chosen[inside[inside >= 0]] = True
            groups.append(chosen)
    return _groups(groups, int(known.sum()))


def _groups(groups: list[np.ndarray], cells: int) -> csr_array:
    """Rows that take the mean over groups of cells."""
    assert all(group.size == cells and group.any() for group in groups)
    return csr_array(np.stack([group / group.sum() for group in groups]))
