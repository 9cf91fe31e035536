"""A run whose input has been found sound: what every stage works with."""

from dataclasses import dataclass
from pathlib import Path

from engine.cube.build import CubePlan
from engine.grid.grid import Grid
from engine.sources.base import SourceSummary
from engine.storage.paths import OutPath
from pipelines.runfile.reader import RunFile
from pipelines.soil_carbon.profiles.read_profiles import Profiles

ZONES = "zone"
"""Cube variable of zones that come from a source of their own rather than from a covariate."""


@dataclass(frozen=True)
class Coverage:
    """Shares of the domain and of the sites that lie within a source's extent."""

    domain: float
    sites: float


@dataclass(frozen=True)
class Prepared:
    """A run whose input has been found sound.

    Attributes
    ----------
    base : Path
        Folder of the run file.
    directory : OutPath
        Where the results go.
    inputs : dict
        Fingerprints of all that is read, by the names of `preflight.input_fingerprints`, taken before it was: what is
        recorded.
    independent : Profiles or None
        Sites that never train the model.
    """

    config: RunFile
    base: Path
    directory: OutPath
    grid: Grid
    plan: CubePlan
    summaries: dict[str, SourceSummary]
    coverage: dict[str, Coverage]
    profiles: Profiles
    inputs: dict[str, str]
    independent: Profiles | None = None

    @property
    def data(self) -> Path:
        """Folder from which relative paths of sources and observations start."""
        return self.base / self.config.data

    @property
    def zones(self) -> tuple[str | None, tuple[str, ...]]:
        """Cube variable that holds the zones, and their names."""
        match self.config.zones:
            case None:
                return None, ()
            case str() as covariate:
                return covariate, self.config.covariates[covariate].class_names
            case source:
                return ZONES, source.class_names
