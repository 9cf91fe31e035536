# %% [markdown]
# # Read and plot the results of a run
#
# `gelisol.open` opens a results folder, finished or not, on a disk or in an object store. The run of this page is small
# and made up; with a run of yours, start at [Open](#open).

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import gelisol
from pipelines.virtual.trial_region import TrialRegion, write_region

run_file = write_region(Path("trial"), TrialRegion(seed=4, information=0.7))
print(run_file.read_text())

# %%
_ = gelisol.run(
    run_file,
    progress="lines",
    cluster__workers=1,  # processes of this machine; by default one per core
    model__replicates=10,
    model__validation__folds=5,
    model__validation__repeats=2,
)

# %% [markdown]
# ## Open

# %%
run = gelisol.open("trial/out")
run

# %% [markdown]
# Each attribute is read when it is asked for. The verdict is text with what it rests on; read it before the numbers.

# %%
print(run.verdict)
print(run.verdict.conclusion)
for reason in run.verdict.reasons:
    print("•", reason)

# %% [markdown]
# ## Maps
#
# `run.maps` is a lazy Dataset with units, CRS and, for each depth, its bounds in cm.

# %%
run.maps

# %% [markdown]
# `run.plot` draws any of them; the colours leave out the lowest and highest 2 %.

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
run.plot("mean", depth="0-30", ax=axes[0])
run.plot("uncertainty", depth="0-30", ax=axes[1])
_ = run.plot("dissimilarity", ax=axes[2])

# %% [markdown]
# For figures of your own it is xarray. Cells outside the area of applicability are left white here: nothing was checked
# there ([applicability](../applicability.md)).

# %%
maps = run.maps.sel(depth="0-30")
width = (maps["pi_upper"] - maps["pi_lower"]).where(maps["applicable"] == 1)
width.attrs = {"long_name": "Width of the 95 % prediction interval", "units": "kg m-2"}
_ = width.plot(cmap="magma_r", figsize=(6, 4))

# %% [markdown]
# ## Tables
#
# Stocks with their ranges, and how far each family got under each scheme of validation.

# %%
run.stocks

# %%
run.scores

# %% [markdown]
# The other tables of the [results folder](../commands.md#what-a-run-leaves) are plain CSV:

# %%
pd.read_csv(run.directory / "stock_uncertainty.csv")

# %% [markdown]
# ## Sites
#
# What was observed, and what the replicates predict that did not see the site: an honest comparison.

# %%
sites = run.sites.query("used")
axes = sites.plot.scatter("predicted_0-10", "observed_0-10", figsize=(4, 4))
_ = axes.axline((5, 5), slope=1, color="grey", linewidth=1)

# %% [markdown]
# ## Points
#
# Density and intervals at points in any CRS, from the ensemble and the covariates of the cells that hold them:

# %%
points = pd.DataFrame({"lon": [118.5, 120.0, 121.7], "lat": [51.0, 50.0, 49.2]}, index=["A", "B", "C"])
run.predict(points)[["socd_0-10_mean", "socd_0-10_pi_lower", "socd_0-10_pi_upper", "dissimilarity", "applicable"]]

# %% [markdown]
# ## Covariates
#
# `run.cube` holds them on the grid of the maps, which makes comparisons short:

# %%
density = run.maps["mean"].sel(depth="0-10").drop_vars(["depth", "depth_top", "depth_bottom"])
together = run.cube.drop_vars("domain").assign(density=density).drop_vars("spatial_ref")
together.to_dataframe().dropna().corr()["density"].round(2)
