"""Cloud-optimised outputs: Zarr stores, COGs and a STAC collection."""
