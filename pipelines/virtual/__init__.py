"""The virtual region: a made-up permafrost landscape whose truth is known."""

from pipelines.virtual.region import make
from pipelines.virtual.sampling import Sampling

__all__ = ["Sampling", "make"]
