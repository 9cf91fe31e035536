# %% [markdown]
# # Map your own data
#
# Covariates in a Dataset and points in a table: `gelisol.map_dataset` validates, trains and maps them without a run
# file. The data of this page are made up, so that the truth is known and the map can be held against it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import odc.geo.xr  # gives Datasets a grid: .odc
import pandas as pd
import xarray as xr
from pyproj import Transformer
from scipy.ndimage import gaussian_filter

import gelisol

# %% [markdown]
# ## The covariates
#
# One variable per covariate, on one grid with a CRS; here 60 × 80 cells of 5 km in an equal-area projection. A Dataset
# of yours comes from `xr.open_zarr`, `rioxarray.open_rasterio` or `odc.stac.load`, and may be far larger than memory.

# %%
rng = np.random.default_rng(11)


def smooth(width):
    field = gaussian_filter(rng.normal(size=(60, 80)), width, mode="wrap")
    return ((field - field.mean()) / field.std()).astype("float32")


y, x = 150_000 - 5_000 * (np.arange(60) + 0.5), -200_000 + 5_000 * (np.arange(80) + 0.5)
temperature, moisture, cover = -4 + 2 * smooth(9), 0.5 + 0.1 * smooth(6), smooth(7)
dataset = xr.Dataset(
    {
        "temperature": (("y", "x"), temperature, {"units": "degC"}),
        "moisture": (("y", "x"), moisture, {"units": "1"}),
        "cover": (("y", "x"), np.where(cover > 0.4, 2, 1).astype("uint8")),
    },
    {"y": y, "x": x},
)
crs = "+proj=laea +lat_0=65 +lon_0=120 +datum=WGS84 +units=m"
dataset = dataset.odc.assign_crs(crs)

# %% [markdown]
# Whole numbers are taken for numbers unless two attributes say that they are codes of classes, as in the CF
# conventions:

# %%
dataset["cover"].attrs = {"flag_values": np.array([1, 2], "uint8"), "flag_meanings": "forest bog"}
dataset

# %% [markdown]
# ## The points
#
# A GeoDataFrame, or a table with `lon` and `lat` in degrees, and a column of what was measured. Here 120 cores are
# drawn from a made-up truth: cold, wet places and bogs hold more carbon, and cores of one cell differ from one
# another.

# %%
truth = 9 - 0.9 * temperature + 14 * (moisture - 0.5) + 5 * (cover > 0.4)


def cores(n):
    rows, columns = rng.integers(0, 60, n), rng.integers(0, 80, n)
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(x[columns], y[rows])
    carbon = truth[rows, columns] + rng.normal(0, 1.5, n)
    return pd.DataFrame({"lon": lon, "lat": lat, "carbon": carbon.clip(0.1), "row": rows, "column": columns})


points = cores(120)
points.head()

# %% [markdown]
# ## The map
#
# The model is validated and trained at once. Keywords are those of the sections
# [`model`](../run-file.md#model) and [`selection`](../run-file.md#selection) of a run file, with the same defaults;
# they are cut down here to be quick. `grid: {}` leaves out the search for hyperparameters. A map for a paper
# has 100 replicates, and the two schemes of validation that are the default.

# %%
density = gelisol.map_dataset(
    dataset,
    points,
    "carbon",
    units="kg m-2",
    families=[{"name": "xgboost", "parameters": {"n_estimators": 80}, "grid": {}}],
    replicates=30,
    validation={"folds": 10, "repeats": 2, "schemes": ["random"], "coverage": 0},
)
density

# %% [markdown]
# The map is lazy: nothing is predicted before it is computed, or written with `density.to_zarr(…)`, block by block. Its
# attributes say what was chosen, and the scores.

# %%
density.attrs

# %%
density = density.compute()
figure, axes = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
density["mean"].plot(ax=axes[0], cmap="viridis_r")
(density["pi_upper"] - density["pi_lower"]).plot(ax=axes[1], cmap="magma_r", cbar_kwargs={"label": "kg m-2"})
density["dissimilarity"].plot(ax=axes[2], cmap="YlGnBu")
for axis, title in zip(axes, ("mean", "width of the 95 % prediction interval", "dissimilarity"), strict=True):
    axis.set_title(title)

# %% [markdown]
# ## Is it right?
#
# `pi_lower` and `pi_upper` hold a *new core* in 95 of 100 cases, wherever new cores are placed as the old ones were
# ([intervals](../intervals.md)). That can be tried here, for more cores can be drawn:

# %%
new = cores(2000)
low, high = (density[name].values[new["row"], new["column"]] for name in ("pi_lower", "pi_upper"))
print(f"{((new['carbon'] >= low) & (new['carbon'] <= high)).mean():.1%} of 2000 new cores are inside")
error = density["mean"].values - truth
print(f"The map's error: RMSE {np.sqrt(np.mean(error**2)):.2f}, bias {error.mean():+.2f} kg m-2")

# %% [markdown]
# `ci_lower` and `ci_upper` are something else: they say where the mean of the replicates is, not where the truth is,
# and shrink with the number of replicates. They hold far fewer of the true densities:

# %%
inside = (truth >= density["ci_lower"]) & (truth <= density["ci_upper"])
print(f"{float(inside.mean()):.0%} of the cells' true densities are inside the interval of the ensemble's mean")

# %% [markdown]
# ## Further
#
# - Several depths: `target=["soc_0-10", "soc_0-30"]`; the first is modelled, the others are regressed on it.
# - Values measured at the points: `at_site={"tn": "nitrogen"}`.
# - A large map on many machines: [on a Dask cluster](dask_cluster.py).
# - The same for rows of a table, in scikit-learn: `gelisol.SoilMapper` ([Python](../python.md#scikit-learn)).
# - Stocks by zone, a report, results that can be resumed: a [run file](../tutorial.md).
