# %% [markdown]
# # The stock of a polygon
#
# How much carbon is in this catchment, and how sure is that? There are two ways, and they do not give the same:
#
# | way | stock | range |
# |---|---|---|
# | polygons as **zones** of the run file | yes | that of [totals](../totals.md): model, depth regression, residuals |
# | a **mask** over the finished maps | the same, but for rounding | none, only a bound on its replicates' part |
#
# The maps hold statistics of each cell, and errors of neighbouring cells go together in a way that these do not tell.
# No sum of `sd`, `ci_lower` or `pi_lower` over cells is the interval of a total. The run of this page is made up.

# %%
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely

import gelisol
from pipelines.virtual.trial_region import CRS, TrialRegion, write_region

folder = Path("trial")
run_file = write_region(folder, TrialRegion(seed=4, information=0.4, correlated=1.0))

# %% [markdown]
# Two made-up catchments, in the CRS of the grid; a file of yours may be in any CRS. A cell without a zone is left out
# of the map, as one without a covariate is: so the rest of the region is a zone, too.

# %%
upper = shapely.Point(-60_000, 40_000).buffer(90_000)
lower = shapely.Polygon([(20_000, -150_000), (150_000, -150_000), (160_000, 60_000), (60_000, -20_000)])
rest = shapely.box(-400_000, -400_000, 400_000, 400_000) - (upper | lower)
catchments = gpd.GeoDataFrame({"code": [1, 2, 3]}, geometry=[upper, lower, rest], crs=CRS)
catchments.to_file(folder / "catchments.gpkg", driver="GPKG")

# %% [markdown]
# ## As zones of the run
#
# `zones` takes polygons like those of any covariate: a file, an attribute, and the classes that its codes stand for.
# In a finished run, another `zones` makes cube, scores and map again and keeps the replicates, which took longest
# ([what is done again](../reliability.md#what-is-done-again)).

# %%
zones = {"href": "catchments.gpkg", "attribute": "code", "classes": {"upper": [1], "lower": [2], "rest": [3]}}
run = gelisol.run(
    run_file,
    until="map",
    progress="lines",
    zones=zones,
    cluster__workers=1,
    model__replicates=20,
    model__validation__repeats=1,
    model__validation__coverage=0,
)
run.stocks

# %% [markdown]
# `stock_lower_pg` and `stock_upper_pg` are a 95 % range. What it is made of, as standard deviations:

# %%
parts = pd.read_csv(run.directory / "stock_uncertainty.csv")
parts.pivot_table(index=["zone", "depth"], columns="source", values="sd_pg", sort=False).round(5)

# %% [markdown]
# ## By a mask over the maps
#
# For polygons that nobody thought of when the run was made. A cell belongs to the polygon that holds its centre; the
# cells of this grid are all of the same area, for its CRS is equal-area.

# %%
maps = run.maps.sel(depth="0-30").load()
grid = maps.odc.geobox
shapes = [(shape, code) for shape, code in zip(catchments.to_crs(grid.crs).geometry, catchments["code"], strict=True)]
codes = rasterio.features.rasterize(shapes, out_shape=grid.shape.yx, transform=grid.affine, fill=0)
cell_m2 = abs(grid.affine.determinant)
KG_PER_PG = 1e12

rows = []
for name, code in (("upper", 1), ("lower", 2)):
    cells = (codes == code) & maps["mean"].notnull().values
    total = float(maps["mean"].values[cells].sum(dtype="float64")) * cell_m2 / KG_PER_PG
    bound = float(maps["sd"].values[cells].sum(dtype="float64")) * cell_m2 / KG_PER_PG
    share = float(maps["applicable"].values[cells].mean())
    rows.append((name, cells.sum() * cell_m2 / 1e6, total, bound, share))
masked = pd.DataFrame(rows, columns=["zone", "area_km2", "stock_pg", "replicates_sd_at_most_pg", "applicable"])
masked = masked.set_index("zone")
masked

# %% [markdown]
# The stocks are those of the zones:

# %%
table = run.stocks.query("depth == '0-30'").set_index("zone")
assert np.allclose(masked["stock_pg"], table.loc[masked.index, "stock_pg"], rtol=1e-5)
assert np.allclose(masked["area_km2"], table.loc[masked.index, "area_km2"])
(masked["stock_pg"] / table.loc[masked.index, "stock_pg"] - 1).abs().max()

# %% [markdown]
# The last column but one does not give a range. The standard deviation of a sum is at most the sum of the standard
# deviations, as
# it would be if all cells erred together; so the replicates' totals vary by no more than that, and may vary much less.
# The residual error is not of the replicates and not in the bound: here the whole standard deviation, `all`, is larger.

# %%
of_depth = parts.query("depth == '0-30'").pivot(index="zone", columns="source", values="sd_pg")
beside = masked[["replicates_sd_at_most_pg"]].join(of_depth[["replicates", "residual", "all"]])
assert (beside["replicates"] <= beside["replicates_sd_at_most_pg"] * (1 + 1e-6)).all()
assert (beside["all"] > beside["replicates_sd_at_most_pg"]).all()
beside.round(4)

# %% [markdown]
# ## Which one?
#
# - A stock with a range, for a paper or an inventory: **zones**.
# - A first look at a stock, without a range: the **mask**. Say that no range is given, and give the share of the
#   polygon inside the area of applicability beside it.
# - The whole region has its range in `stocks.csv` in any case, as the zone `total`. The range of a part of it
#   cannot be had by scaling: a small part is relatively less sure than the whole.
# - Summing the stocks of zones is right; summing the ends of their ranges is not.
