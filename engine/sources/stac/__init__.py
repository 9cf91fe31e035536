"""Covariates from STAC: items found in an API or a static catalog, kept, and read as the tiles of a mosaic."""

from engine.sources.stac.source import open_stac

__all__ = ["open_stac"]
