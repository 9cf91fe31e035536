"""Published functions that give a soil's bulk density from its organic carbon."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MATTER_PER_CARBON = 1.724
"""Organic matter per organic carbon (van Bemmelen), for functions that are published for organic matter."""


@dataclass(frozen=True)
class Pedotransfer:
    """A published function, which is used within the carbon that it was made for.

    Parameters
    ----------
    name : str
        As the run file names it.
    formula : str
        With OC and OM in % of mass.
    citation : str
        Where it comes from.
    soils : str
        What it was fitted on, as far as the source says.
    highest : float
        g/kg of carbon above which it is not used.
    of_percent : callable
        Bulk density, g/cm³, from organic carbon, %.
    n : int or None
        Samples it was fitted on, where published.
    r2 : float or None
        Share of their variance that it explains, where published.
    scatter : float
        RMSE, g/cm³, against 2,962 horizons north of 45° N (ISRIC-WISE), within `highest`: the publications give none.
    """

    name: str
    formula: str
    citation: str
    soils: str
    highest: float
    of_percent: Callable[[np.ndarray], np.ndarray]
    scatter: float
    n: int | None = None
    r2: float | None = None

    def __call__(self, soc: np.ndarray) -> np.ndarray:
        """Return bulk density, g/cm³; missing if `soc`, g/kg, is above the function's range."""
        soc = np.asarray(soc, np.float64)
        return np.where(soc <= self.highest, self.of_percent(np.minimum(soc, self.highest) / 10), np.nan)

    def __str__(self) -> str:
        return (
            f"BD = {self.formula} ({self.citation}; {self.soils}; up to {self.highest:g} g/kg SOC; RMSE some "
            f"{self.scatter:.2f} g/cm³ elsewhere)"
        )


def _matter(carbon: np.ndarray) -> np.ndarray:
    return np.minimum(carbon * MATTER_PER_CARBON, 100.0)


FUNCTIONS = {
    function.name: function
    for function in (
        Pedotransfer(
            "adams-1973",
            "100 / (OM / 0.244 + (100 − OM) / 1.64)",
            "Adams 1973, Journal of Soil Science 24, with the densities of Post & Kwon 2000, Global Change Biology 6",
            "volumes of organic and mineral matter that add up",
            580.0,
            lambda carbon: 100 / (_matter(carbon) / 0.244 + (100 - _matter(carbon)) / 1.64),
            0.24,
        ),
        Pedotransfer(
            "alexander-1980",
            "1.66 − 0.308 · √OC",
            "Alexander 1980, Soil Science Society of America Journal 44",
            "mineral soils of California",
            150.0,
            lambda carbon: 1.66 - 0.308 * np.sqrt(carbon),
            0.23,
            721,
            0.46,
        ),
        Pedotransfer(
            "federer-1993",
            "0.111 · 1.45 / (1.45 · OM + 0.111 · (1 − OM)), OM as a fraction",
            "Federer, Turcotte & Smith 1993, Canadian Journal of Forest Research 23",
            "forest soils of New England on sandy loam",
            580.0,
            lambda carbon: 0.111 * 1.45 / (1.45 * _matter(carbon) / 100 + 0.111 * (1 - _matter(carbon) / 100)),
            0.31,
        ),
        Pedotransfer(
            "honeysett-ratkowsky-1989",
            "1 / (0.564 + 0.0556 · OM)",
            "Honeysett & Ratkowsky 1989, Journal of Soil Science 40",
            "forest soils of Tasmania",
            580.0,
            lambda carbon: 1 / (0.564 + 0.0556 * _matter(carbon)),
            0.25,
        ),
        Pedotransfer(
            "hossain-2015",
            "0.071 + 1.322 · exp(−0.071 · OC)",
            "Hossain, Chen & Zhang 2015, Information Processing in Agriculture 2",
            "mineral and organic soils of Canada's arctic and sub-arctic, 0–100 cm",
            580.0,
            lambda carbon: 0.071 + 1.322 * np.exp(-0.071 * carbon),
            0.27,
            1376,
            0.984,
        ),
        Pedotransfer(
            "manrique-jones-1991",
            "1.66 − 0.318 · √OC",
            "Manrique & Jones 1991, Soil Science Society of America Journal 55",
            "mineral soils of the United States and the tropics",
            150.0,
            lambda carbon: 1.66 - 0.318 * np.sqrt(carbon),
            0.23,
        ),
        Pedotransfer(
            "song-2005",
            "1.377 · exp(−0.048 · OC)",
            "Song, Li, Pan & Zhang 2005, Biogeochemistry 74",
            "topsoils of China",
            150.0,
            lambda carbon: 1.377 * np.exp(-0.048 * carbon),
            0.26,
        ),
    )
}
"""By name."""
