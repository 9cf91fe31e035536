# %% [markdown]
# # A new family of models, and a new statistic
#
# `xgboost`, `rf`, `brt` and `svm` have names of their own. Any other regressor of scikit-learn joins them by its dotted
# name, with its hyperparameters and a grid to search, in the run file as in Python:
#
# ```yaml
# model:
#   families:
#     - xgboost
#     - {name: extra_trees, estimator: sklearn.ensemble.ExtraTreesRegressor,
#        parameters: {n_estimators: 100}, grid: {min_samples_leaf: [1, 3]}}
# ```
#
# It goes through the same folds, bootstrap and intervals as the others. What is not of scikit-learn, or should have a
# name, is registered. The region of this page is made up.

# %%
import numpy as np
import odc.geo.xr  # gives Datasets a grid: .odc
import xarray as xr

import gelisol
from pipelines.virtual.trial_region import CELL, CRS, SIDE, TrialRegion, make_region

made = make_region(TrialRegion(seed=3, information=0.7))
steps = (np.arange(SIDE) + 0.5 - SIDE / 2) * CELL
dataset = xr.Dataset({name: (("y", "x"), values) for name, values in made.fields.items()}, {"y": -steps, "x": steps})
dataset = dataset.odc.assign_crs(CRS)
made.sites.head(3)

# %% [markdown]
# ## Both under the same folds
#
# Hyperparameters without a grid are fixed; those with a grid are searched. Folds depend on the sites and the seed,
# not on the family, so that the scores can be compared.

# %%
xgboost = {"name": "xgboost", "parameters": {"n_estimators": 80}, "grid": {}}
extra_trees = {
    "name": "extra_trees",
    "estimator": "sklearn.ensemble.ExtraTreesRegressor",
    "parameters": {"n_estimators": 50},
    "grid": {"min_samples_leaf": [1, 3]},
}
settings = {"replicates": 10, "validation": {"folds": 5, "repeats": 2, "schemes": ["random"], "coverage": 0}}
maps = {}
for family in (xgboost, extra_trees):
    density = gelisol.map_dataset(
        dataset, made.sites, "socd_0-10", units="kg m-2", selection={"screen": False}, families=[family], **settings
    )
    maps[family["name"]] = density
    print(f"{family['name']}: R² {density.attrs['r2_random']:.2f}, RMSE {density.attrs['rmse_random']:.2f} kg m-2")

# %% [markdown]
# Given together, the one with the lowest RMSE under the first scheme is mapped; `mapped` names another, or
# `average` or `stack` for all of them together.

# %%
density = gelisol.map_dataset(
    dataset, made.sites, "socd_0-10", units="kg m-2", selection={"screen": False},
    families=[xgboost, extra_trees], mapped="average", **settings,
)  # fmt: skip
density.attrs

# %%
maps = maps | {"average": density}
together = xr.concat([found["mean"] for found in maps.values()], "family").assign_coords(family=list(maps)).compute()
_ = together.plot(col="family", cmap="viridis_r", size=3.2)

# %% [markdown]
# ## A name of its own
#
# Registered, a family is called by its name alone, in run files, `map_dataset` and `SoilMapper`. That holds for this
# process; [Extending](../extending.md) says how a package offers it to every process, and what workers need.

# %%
from engine.models.families import FAMILIES, Family

defaults, grid = {"n_estimators": 50}, {"min_samples_leaf": (1, 3)}
_ = FAMILIES.register("extra_trees", Family("extra_trees", "sklearn.ensemble.ExtraTreesRegressor", defaults, grid))

# %% [markdown]
# For instance in scikit-learn's own tools, by the estimator of one family with fixed hyperparameters:

# %%
from sklearn.model_selection import cross_val_score

table = np.column_stack([values[made.rows, made.cols] for values in made.fields.values()])
mapper = gelisol.SoilMapper(family="extra_trees", replicates=5)
print("R² in three folds:", cross_val_score(mapper, table, made.sites["socd_0-10"], cv=3).round(2))

# %% [markdown]
# ## A new statistic
#
# A statistic of a cell is a function of the replicates' predictions, shape (replicates, cells). It becomes a layer of
# the maps. Here the share of the replicates that predict more than 6 kg C/m²:

# %%
from engine.ensemble.statistics import CELL_STATISTICS, Cells, Statistic


def above_six(cells: Cells) -> np.ndarray:
    return (cells.values > 6).mean(axis=0)


CELL_STATISTICS.register("above_six", Statistic(above_six, "share of replicates above 6 kg m-2", units="1"))
density = gelisol.map_dataset(
    dataset, made.sites, "socd_0-10", units="kg m-2", selection={"screen": False},
    families=[xgboost], statistics=["above_six"], **settings,
).compute()  # fmt: skip
_ = density["above_six"].plot(cmap="viridis", figsize=(5, 4))

# %% [markdown]
# It is a share of the ensemble, and no probability that a core holds more: cores differ from the mean of their cell,
# and replicates do not know by how much ([intervals](../intervals.md)).

# %% [markdown]
# ## A mistake is a sentence
#
# Names are checked before anything is fitted:

# %%
try:
    misspelt = {"name": "extra_trees", "parameters": {"n_estimator": 50}}
    gelisol.map_dataset(dataset, made.sites, "socd_0-10", families=[misspelt], **settings)
except gelisol.InputError as error:
    print(error.problems[0])
