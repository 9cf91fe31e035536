"""The mapping engine: covariate rasters, bootstrap ensembles and blockwise maps on a Dask cluster.

It knows no soil: it maps any point measurement from any covariates. Soil lives in `pipelines.soil_carbon`.
"""

__version__ = "0.1.0"
