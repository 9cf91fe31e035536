"""Errors that all profiles share which were completed in the same way, drawn anew for every replicate.

They do not average out over sites, and residuals cannot show them: where the pedotransfer function is wrong, it is so
at all sites. What differs from profile to profile (scatter about the function, the laboratory, how far one layer's
division is off) is not drawn: it is in the residuals, and in how replicates differ because each learns another sample
of the sites.

A layer's carbon is a product, so that an error is a factor to it; the part of a layer in a target depth stays.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from engine.errors import Finding
from engine.formatting import counted
from engine.seeds import Use, streams
from pipelines.runfile.depth_intervals import Depths
from pipelines.runfile.observations_section import SharedErrorsOfProfiles
from pipelines.soil_carbon.profiles.density_errors import DensityErrors
from pipelines.soil_carbon.profiles.gap_filling import Filled
from pipelines.soil_carbon.profiles.harmonise import Harmonise, layer_parts

_SOM_TO_SOC = (0.3, 0.7)
"""Drawn factors stay in it."""


@dataclass(frozen=True)
class SharedErrors:
    """What is needed to draw the errors.

    Parameters
    ----------
    settings : SharedErrorsOfProfiles
    som_to_soc : float
        Carbon's share of organic matter.
    layers : DataFrame
        After filling.
    density : DensityErrors
        Of the layers' bulk densities.
    fragments_sd, fragments_error : ndarray, shape (layers,)
        As from `fragment_errors`.
    site : ndarray of int, shape (layers,)
        Number of each layer's site among `sites`.
    sites : tuple of str
    parts : ndarray, shape (layers, depths)
        Carbon of each layer in each depth, kg/m²; 0 where the layer or its site gives none.
    differences : ndarray, shape (sites, depths)
        Density with layers divided by splines less that with layers divided by thickness, kg C/m².
    """

    settings: SharedErrorsOfProfiles
    som_to_soc: float
    layers: pd.DataFrame
    density: DensityErrors
    fragments_sd: np.ndarray
    fragments_error: np.ndarray
    site: np.ndarray
    sites: tuple[str, ...]
    parts: np.ndarray
    differences: np.ndarray

    @classmethod
    def of(
        cls,
        filled: Filled,
        densities: list[pd.DataFrame],
        depths: Depths,
        harmonise: Harmonise,
        som_to_soc: float,
        settings: SharedErrorsOfProfiles,
    ) -> "SharedErrors | None":
        """Take what is needed from filled layers and their densities; None where nothing would be drawn.

        Parameters
        ----------
        densities : list of DataFrame
            As `profile_densities` gives them, one per depth.
        """
        layers = filled.layers.reset_index(drop=True)
        sites = tuple(densities[0]["site"])
        site = layers["site"].map({name: number for number, name in enumerate(sites)}).to_numpy()
        soc, bulk_density = layers["soc"].to_numpy(), layers["bulk_density"].to_numpy()
        layers["concentration"] = soc * bulk_density * (1 - layers["coarse_fragments"] / 100)
        parts, differences = np.zeros((len(layers), len(depths))), np.zeros((len(sites), len(depths)))
        for number, (depth, result) in enumerate(zip(depths, densities, strict=True)):
            used = result["socd"].notna().to_numpy()
            by = {how: layer_parts(layers, *depth, how).fillna(0.0) for how in ("spline", "layers")}
            own = by["spline" if harmonise == "spline" else "layers"]
            parts[:, number] = np.where(used[site], own["socd"] + own["socd_bridged"], 0.0)
            if harmonise != "exact":
                between = np.bincount(site, by["spline"]["socd"] - by["layers"]["socd"], len(sites))
                differences[:, number] = np.where(used, between, 0.0)
        completed = layers["bulk_density_filled"].to_numpy()
        density = DensityErrors(filled.function, settings.bulk_density, soc, bulk_density, completed, site)
        fragments = fragment_errors(layers, settings.coarse_fragments)
        found = cls(settings, som_to_soc, layers, density, *fragments, site, sites, parts, differences)
        return found if settings.draw and found.drawn else None

    @cached_property
    def drawn(self) -> dict[str, int]:
        """Errors that are drawn, in words, and at how many sites."""
        in_use = (self.parts != 0).any(axis=1)
        of_density = "of the function that fills bulk density"
        layers = {
            "the share of carbon in SOM": self.layers["soc_from_som"].to_numpy() & (self.settings.som_to_soc > 0),
            f"the coefficients {of_density}" if self.density.of_coefficients else f"a factor {of_density}": (
                self.density.sd > 0
            ),
            "filled coarse fragments": self.fragments_sd > 0,
        }
        found = {name: len(np.unique(self.site[rows & in_use])) for name, rows in layers.items()}
        found["how layers are divided"] = int((self.differences != 0).any(axis=1).sum())
        if self.settings.layer_division == 0:
            del found["how layers are divided"]
        return {name: number for name, number in found.items() if number}

    @property
    def note(self) -> Finding:
        """Which errors are drawn, and at how many sites."""
        listed = ", ".join(f"{name} ({counted(number, 'site')})" for name, number in self.drawn.items())
        return Finding.note(f"Errors that sites share are drawn anew in every replicate: {listed}.")

    def draws(self, replicates: int, seed: int) -> np.ndarray:
        """Draw what is added to the densities of every replicate.

        Returns
        -------
        ndarray, shape (replicates, sites, depths)
            kg C/m². The first replicates do not depend on how many there are.
        """
        each = streams(seed, Use.PROFILE_ERRORS, replicates)
        return np.stack([self._draw(np.random.default_rng(stream)) for stream in each])

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        # The same numbers from the stream, whatever is drawn: without one of the errors the others stay as they are.
        of_som, of_division, of_density = rng.standard_normal(), rng.standard_normal(), rng.standard_normal(2)
        of_fragments = rng.standard_normal(1 + self.fragments_error.max())
        moved = self.parts * (self._factors(of_som, of_density, of_fragments) - 1)[:, None]
        of_sites = np.stack([np.bincount(self.site, values, len(self.sites)) for values in moved.T], axis=1)
        return of_sites + self.settings.layer_division * of_division * self.differences

    def _factors(self, of_som: float, of_density: np.ndarray, of_fragments: np.ndarray) -> np.ndarray:
        """Return the drawn carbon of each layer over that it was filled to have, shape (layers,)."""
        share = float(np.clip(self.som_to_soc + self.settings.som_to_soc * of_som, *_SOM_TO_SOC))
        of_carbon = np.where(self.layers["soc_from_som"], share / self.som_to_soc, 1.0)
        fragments = self.layers["coarse_fragments"].to_numpy()
        drawn = np.clip(fragments + self.fragments_sd * of_fragments[self.fragments_error], 0.0, 100.0)
        fine = (self.fragments_sd > 0) & (fragments < 100)
        of_volume = np.divide(100 - drawn, 100 - fragments, out=np.ones(len(drawn)), where=fine)
        of_mass = self.density.factors(self.layers["soc"].to_numpy() * of_carbon, of_density)
        # Of layers without carbon or density, the parts are 0.
        return np.nan_to_num(of_carbon * of_mass * of_volume, nan=1.0)


def fragment_errors(layers: pd.DataFrame, sd: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the error of each layer's filled coarse fragments, and the number of the error that it shares.

    Parameters
    ----------
    layers : DataFrame
        `site, coarse_fragments, coarse_fragments_filled, soil_type`.
    sd : float or None
        Volume %, of all of them together. None: the standard error of the mean that filled them, of the soil type
        (where a single site has it, with the SD of all sites) or of all sites. A site counts once, however many layers
        it has.

    Returns
    -------
    ndarray of float, shape (layers,)
        SD, volume %; 0 where fragments are measured, or nowhere given and therefore taken as 0.
    ndarray of int, shape (layers,)
    """
    filled = layers["coarse_fragments_filled"].to_numpy()
    error = np.zeros(len(layers), np.intp)
    if sd is not None:
        return np.where(filled, sd, 0.0), error
    if not filled.any() or filled.all():
        return np.zeros(len(layers)), error
    of_type = layers["soil_type"].str.casefold()
    measured = layers.assign(type=of_type)[~filled]
    types = sorted(measured["type"].dropna().unique())
    error = of_type.map({name: number for number, name in enumerate(types, start=1)}).fillna(0).to_numpy(np.intp)
    of_all = measured.groupby("site")["coarse_fragments"].mean()
    spread = of_all.std(ddof=1) if len(of_all) > 1 else 0.0
    of_sites = measured.groupby(["type", "site"])["coarse_fragments"].mean().groupby("type").agg(["std", "count"])
    errors = of_sites["std"].fillna(spread) / np.sqrt(of_sites["count"])
    every = np.array([spread / np.sqrt(len(of_all)), *errors.reindex(types)])
    return np.where(filled, every[error], 0.0), error
