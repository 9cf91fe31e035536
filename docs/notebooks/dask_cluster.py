# %% [markdown]
# # On a Dask cluster
#
# Everything that takes long runs as Dask tasks. With a `Client` of yours they run where it leads: processes of this
# machine here, or Slurm, Kubernetes, Coiled, a Gateway, whatever makes a `Client`. The numbers are the same
# everywhere, to the bit, however many workers there are. The region of this page is made up.

# %%
from pathlib import Path

import numpy as np
import odc.geo.xr  # gives Datasets a grid: .odc
import xarray as xr
from distributed import Client, LocalCluster

import gelisol
from pipelines.virtual.trial_region import CELL, CRS, SIDE, TrialRegion, make_region, write_region

# %% [markdown]
# Workers of one thread each: tasks are Python and compiled code of one thread, and memory is then counted per task.
# In a script the rest of this page stands under `if __name__ == "__main__":`, because workers import the script.

# %%
cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
client = Client(cluster)
client

# %% [markdown]
# ## A Dataset of chunks
#
# The chunks of the Dataset become the blocks of the map: one task a block. Workers need no disk of yours; the model
# travels with the graph. Blocks of some 500 × 500 cells are good for real maps, these are tiny.

# %%
region = TrialRegion(seed=3, information=0.7)
made = make_region(region)
steps = (np.arange(SIDE) + 0.5 - SIDE / 2) * CELL
dataset = xr.Dataset({name: (("y", "x"), values) for name, values in made.fields.items()}, {"y": -steps, "x": steps})
dataset = dataset.odc.assign_crs(CRS).chunk(y=20, x=20)
settings = {
    "families": [{"name": "xgboost", "parameters": {"n_estimators": 60}, "grid": {}}],
    "replicates": 10,
    "validation": {"folds": 5, "repeats": 1, "schemes": ["random"], "coverage": 0},
}
density = gelisol.map_dataset(dataset, made.sites, "socd_0-10", client=client, units="kg m-2", **settings)
density["mean"].data

# %% [markdown]
# Validation and training have run on the cluster by now, the map has not. It is computed, or written to a store that
# the workers share, like any other Dask array:

# %%
density.to_zarr("density.zarr", mode="w", consolidated=False)
on_cluster = xr.open_zarr("density.zarr", consolidated=False).load()
_ = on_cluster["mean"].plot(cmap="viridis_r", figsize=(5, 4))

# %% [markdown]
# ## A run file on the cluster
#
# `gelisol.run` takes a client in the place of the run file's section `cluster`, and leaves it as it is. Workers must
# see the sources and the results folder under the same paths, and have the same versions of the packages; that is
# looked at before anything starts.

# %%
run_file = write_region(Path("trial"), region)
run = gelisol.run(run_file, client, until="cube", progress="lines")
run.cube

# %% [markdown]
# Stopped at any moment, the same call goes on where it was ([what a run survives](../reliability.md)):

# %%
run = gelisol.run(run_file, client, until="cube", progress="lines")

# %% [markdown]
# ## The same numbers without it
#
# In threads of this process, with the Dataset in one piece. (Without `client`, `map_dataset` takes the one that is
# current; this one is closed first.)

# %% tags=["remove-stderr"]
client.close()
cluster.close()

# %%
alone = gelisol.map_dataset(dataset.compute(), made.sites, "socd_0-10", units="kg m-2", **settings).compute()
for name in ("mean", "sd", "pi_lower", "pi_upper", "dissimilarity"):
    np.testing.assert_array_equal(on_cluster[name].values, alone[name].values)
print("equal to the bit")

# %% [markdown]
# ## Elsewhere
#
# [Clusters](../how-to/cluster.md) has the sections of the run file for SSH, Slurm, Kubernetes and others. From
# Python it is the class of the cluster:
#
# ```python
# from dask_jobqueue import SLURMCluster
#
# cluster = SLURMCluster(cores=8, processes=8, memory="32GB")
# cluster.scale(32)
# gelisol.run("run.yaml", Client(cluster))
# ```
