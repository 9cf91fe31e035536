# %% [markdown]
# # A new family of models
#
# `xgboost`, `rf`, `brt` and `svm` have names of their own. Any regressor of scikit-learn joins them by its dotted name,
# with its hyperparameters and a grid to search, in the run file as in Python:
#
# ```yaml
# model:
#   families:
#     - xgboost
#     - {name: extra_trees, estimator: sklearn.ensemble.ExtraTreesRegressor,
#        parameters: {n_estimators: 100}, grid: {min_samples_leaf: [1, 3]}}
# ```
#
# It goes through the same folds, bootstrap and intervals as the others. The region of this page is made up.

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
# ## As an estimator
#
# `gelisol.SoilMapper` is the ensemble of one family with fixed hyperparameters, for scikit-learn's own tools.
# Families by name only; here a cross-validation on a table:

# %%
from sklearn.model_selection import cross_val_score

table = {name: values[made.rows, made.cols] for name, values in made.fields.items()}
mapper = gelisol.SoilMapper(family="rf", parameters={"n_estimators": 30}, replicates=5)
scores = cross_val_score(mapper, np.column_stack(list(table.values())), made.sites["socd_0-10"], cv=3)
print("R² of random forests in three folds:", scores.round(2))

# %% [markdown]
# ## A mistake is a sentence
#
# Names are checked before anything is fitted:

# %%
try:
    gelisol.map_dataset(
        dataset, made.sites, "socd_0-10", families=[{**extra_trees, "parameters": {"n_estimator": 50}}], **settings
    )
except gelisol.InputError as error:
    print(error.problems[0])
