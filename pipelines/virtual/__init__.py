"""The virtual region: a made-up permafrost landscape whose truth is known."""

from pipelines.virtual.region import make

__all__ = ["make"]
