"""Gap filling of layers: SOC from SOM, bulk density from SOC, coarse fragments from the soil type."""

from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import pandas as pd
from scipy.optimize import curve_fit

from engine.errors import Finding, InputError
from engine.formatting import counted, doing
from pipelines.soil_carbon.profiles.pedotransfer import FUNCTIONS, Pedotransfer

Values = TypeVar("Values", np.ndarray, "pd.Series[float]")

SOC_PER_SOM = 0.58
"""Eq. 2 of the study: carbon's share of organic matter."""

FEWEST_RECORDS = 10
"""Records with SOC and bulk density below which no function is fitted."""


@dataclass(frozen=True)
class BulkDensityFunction:
    """Bulk density from organic carbon, `BD = a · exp(b · SOC)`, and how well it fits its records.

    Parameters
    ----------
    a : float
        Bulk density without carbon, g/cm³.
    b : float
        Exponent per g/kg of SOC.
    n : int
        Records it is fitted on.
    r2 : float
        1 − SSE/SST.
    rmse : float
        g/cm³.
    """

    a: float
    b: float
    n: int
    r2: float
    rmse: float

    def __call__(self, soc: Values) -> Values:
        """Return bulk density, g/cm³, of layers with `soc`, g/kg."""
        return exponential(soc, self.a, self.b)

    def __str__(self) -> str:
        return (
            f"BD = {self.a:.4g} · exp({self.b:.4g} · SOC) from {counted(self.n, 'layer')}, R² {self.r2:.2f}, "
            f"RMSE {self.rmse:.2f} g/cm³"
        )


@dataclass(frozen=True)
class Filled:
    """Layers with their gaps filled as far as they can be.

    Parameters
    ----------
    layers : DataFrame
        As given, with `soc`, `bulk_density`, `coarse_fragments` filled and the flags `soc_from_som`,
        `bulk_density_filled`, `coarse_fragments_filled` (bool).
    function : BulkDensityFunction, Pedotransfer or None
        What the missing bulk densities came from; none if none was missing or none could be fitted.
    unfilled : str
        Why bulk densities are still missing where SOC is there; empty if none is.
    left : Finding or None
        In how many layers they are, and what to do.
    notes : tuple of Finding
        Every kind of fill, counted.
    """

    layers: pd.DataFrame
    function: BulkDensityFunction | Pedotransfer | None
    unfilled: str
    notes: tuple[Finding, ...]
    left: Finding | None = None


_FilledDensity = tuple["pd.Series[float]", BulkDensityFunction | Pedotransfer | None, str, Finding | None]
"""Bulk density, what filled it, and `unfilled` and `left` of `Filled`."""


def fit_bulk_density(soc: "pd.Series[float]", bulk_density: "pd.Series[float]") -> BulkDensityFunction:
    """Fit `BD = a · exp(b · SOC)` by least squares on bulk density.

    Parameters
    ----------
    soc : Series
        g/kg; missing where not measured.
    bulk_density : Series
        g/cm³; missing where not measured.

    Returns
    -------
    BulkDensityFunction

    Raises
    ------
    InputError
        Fewer than ten records have both, they all have the same SOC, or the fit does not converge.
    """
    both = soc.notna() & bulk_density.notna()
    x, y = soc[both].to_numpy(), bulk_density[both].to_numpy()
    if x.size < FEWEST_RECORDS:
        raise InputError(
            f"only {doing(x.size, 'layer', 'has')} both SOC and bulk density, {FEWEST_RECORDS} are needed to fit it"
        )
    if np.ptp(x) == 0:
        raise InputError(f"the {x.size} layers with both SOC and bulk density have one and the same SOC, {x[0]:g} g/kg")
    slope, intercept = np.polyfit(x, np.log(y), 1)
    try:
        (a, b), _ = curve_fit(exponential, x, y, p0=(np.exp(intercept), slope))
    except RuntimeError as error:
        raise InputError(f"the function of SOC fitted to {x.size} layers does not converge ({error})") from None
    squares = np.square(y - exponential(x, a, b))
    total = np.square(y - y.mean()).sum()
    r2 = 1 - squares.sum() / total if total > 0 else np.nan
    return BulkDensityFunction(float(a), float(b), int(x.size), float(r2), float(np.sqrt(squares.mean())))


def fill_layers(layers: pd.DataFrame, som_to_soc: float = SOC_PER_SOM, published: str | None = None) -> Filled:
    """Fill SOC, bulk density and coarse fragments, flagging every fill.

    SOC from SOM by Eq. 2; bulk density by the exponential function of SOC, or by a published function; coarse
    fragments by the mean of the layers of the same soil type (upper and lower case alike), where that has none by the
    mean of all layers, where the table has none by 0.

    Parameters
    ----------
    layers : DataFrame
        `soc`, `som` (g/kg), `bulk_density` (g/cm³), `coarse_fragments` (volume %), `soil_type`, in a fixed order.
    som_to_soc : float
        Carbon's share of organic matter.
    published : str, optional
        Name of a function of `pedotransfer.FUNCTIONS` that fills bulk density, rather than one fitted here.

    Returns
    -------
    Filled
    """
    notes: list[Finding] = []
    from_som = layers["soc"].isna() & layers["som"].notna()
    soc = layers["soc"].fillna(layers["som"] * som_to_soc)
    if from_som.any():
        notes.append(Finding.note(f"SOC = {som_to_soc:g} · SOM in {counted(from_som.sum(), 'layer')}."))
    if published:
        found = _fill_as_published(soc, layers["bulk_density"], FUNCTIONS[published], notes)
    else:
        found = _fill_bulk_density(soc, layers["bulk_density"], notes)
    bulk_density, function, unfilled, left = found
    fragments = _fill_coarse_fragments(layers["coarse_fragments"], layers["soil_type"], notes)
    filled = layers.assign(
        soc=soc,
        bulk_density=bulk_density,
        coarse_fragments=fragments,
        soc_from_som=from_som,
        bulk_density_filled=layers["bulk_density"].isna() & bulk_density.notna(),
        coarse_fragments_filled=layers["coarse_fragments"].isna(),
    )
    return Filled(filled, function, unfilled, tuple(notes), left)


def exponential(soc: Values, a: float, b: float) -> Values:
    """Return `a · exp(b · soc)`."""
    return cast(Values, a * np.exp(b * soc))  # NumPy gives a Series for a Series


def _fill_bulk_density(
    soc: "pd.Series[float]", bulk_density: "pd.Series[float]", notes: list[Finding]
) -> _FilledDensity:
    fillable = bulk_density.isna() & soc.notna()
    if not fillable.any():
        return bulk_density, None, "", None
    try:
        function = fit_bulk_density(soc, bulk_density)
    except InputError as error:
        left = Finding.warning(
            f"bulk density is missing in {counted(fillable.sum(), 'layer')} and stays so: {error}. {_way_out()}"
        )
        notes.append(left)
        return bulk_density, None, str(error), left
    notes.append(Finding.note(f"Bulk density filled in {counted(fillable.sum(), 'layer')}: {function}."))
    if function.b >= 0:
        notes.append(
            Finding.warning("the fitted bulk density rises with SOC; it falls in every soil: check both columns.")
        )
    return bulk_density.fillna(function(soc)), function, "", None


def _fill_as_published(
    soc: "pd.Series[float]", bulk_density: "pd.Series[float]", function: Pedotransfer, notes: list[Finding]
) -> _FilledDensity:
    fillable = bulk_density.isna() & soc.notna()
    if not fillable.any():
        return bulk_density, None, "", None
    filled = bulk_density.fillna(pd.Series(function(soc.to_numpy()), soc.index))
    n = int((fillable & filled.notna()).sum())
    notes.append(Finding.note(f"Bulk density filled in {counted(n, 'layer')}: {function}."))
    unfilled, left = "", None
    if beyond := int((fillable & filled.isna()).sum()):
        unfilled = f"{function.name} is for soils of up to {function.highest:g} g/kg SOC"
        left = Finding.warning(f"bulk density stays missing in {counted(beyond, 'layer')}: {unfilled}.")
        notes.append(left)
    if measured := int((bulk_density.notna() & soc.notna()).sum()):
        off = (pd.Series(function(soc.to_numpy()), soc.index) - bulk_density).dropna()
        if len(off):
            notes.append(
                Finding.note(
                    f"Where bulk density is measured ({counted(measured, 'layer')}), {function.name} differs from it "
                    f"by {off.mean():+.2f} g/cm³ in the mean, RMSE {np.sqrt(np.square(off).mean()):.2f} g/cm³."
                )
            )
    return filled, function, unfilled, left


def _way_out() -> str:
    return (
        f"Filling fits a function to layers that have both; with fewer than {FEWEST_RECORDS}, add measured "
        "bulk densities or name a published function: `observations.bulk_density: {function: hossain-2015}`, or one of "
        f"{', '.join(name for name in FUNCTIONS if name != 'hossain-2015')}."
    )


def _fill_coarse_fragments(
    fragments: "pd.Series[float]", soil_type: "pd.Series[str]", notes: list[Finding]
) -> "pd.Series[float]":
    missing = fragments.isna()
    if not missing.any():
        return fragments
    if missing.all():
        notes.append(
            Finding.note(f"Coarse fragments are nowhere given: taken as 0 in all {counted(missing.sum(), 'layer')}.")
        )
        return fragments.fillna(0.0)
    of_type = fragments.groupby(soil_type.str.casefold()).transform("mean")
    by_type = missing & of_type.notna()
    by_all = missing & of_type.isna()
    if by_type.any():
        notes.append(
            Finding.note(
                f"Coarse fragments filled in {counted(by_type.sum(), 'layer')} with the mean of their soil type."
            )
        )
    if by_all.any():
        notes.append(
            Finding.note(
                f"Coarse fragments filled in {counted(by_all.sum(), 'layer')} with the mean of all layers, "
                f"{fragments.mean():.3g} %: "
                "their soil type is not given or has none."
            )
        )
    return fragments.fillna(of_type).fillna(fragments.mean())
