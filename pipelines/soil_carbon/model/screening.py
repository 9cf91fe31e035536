"""Screening of covariates: which of them go with the density, and which only repeat others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import kruskal, spearmanr

from engine.cube.build import is_known
from engine.errors import Finding, InputError
from engine.sources.variable import Variable
from pipelines.runfile.model_section import Selection
from pipelines.runfile.nearest import nearest
from pipelines.soil_carbon.formatting import p_value, signed
from pipelines.soil_carbon.model.collinearity import Collinearity

SPEARMAN = "spearman"
KRUSKAL_WALLIS = "kruskal-wallis"


@dataclass(frozen=True)
class _Relation:
    """Relation of a covariate to the density; NaN if `constant` marks a covariate that does not vary."""

    test: str
    rho: float = np.nan
    p_value: float = np.nan
    effect: float = np.nan
    constant: str = ""

    def __str__(self) -> str:
        size = f"ρ = {signed(self.rho)}" if self.test == SPEARMAN else f"ε² = {self.effect:.2f}"
        return f"{size}, p {p_value(self.p_value)}".replace("p 0", "p = 0")


def select(
    covariates: pd.DataFrame, y: np.ndarray, specs: Mapping[str, Variable], selection: Selection
) -> pd.DataFrame:
    """Screen covariates by the section `selection` of the run file; see `screen`."""
    keep = selection.keep if selection.screen else [name for name in specs if name not in selection.drop]
    return screen(covariates, y, specs, alpha=selection.alpha, vif_max=selection.vif, keep=keep, drop=selection.drop)


def screen(
    covariates: pd.DataFrame,
    y: np.ndarray,
    specs: Mapping[str, Variable],
    *,
    alpha: float = 0.05,
    vif_max: float = 10.0,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
) -> pd.DataFrame:
    """Decide which covariates the model gets, and give the reasons.

    First, a covariate must be related to the density: a number by Spearman's rank correlation, a category by the
    Kruskal–Wallis test between its classes. Then, as long as the largest variance inflation factor (VIF) of those left
    is `vif_max` or more, that covariate goes; of several equally inflated ones the one least related to the density.

    Parameters
    ----------
    covariates : DataFrame, n rows
        One column per covariate: numbers, or class codes (integers, 0 missing) of a category.
    y : ndarray, shape (n,)
        Density of the first depth at the sites, kg C/m².
    specs : mapping
        Covariate → its source.
    alpha : float
        A p-value below it is significant.
    vif_max : float
        VIF that no covariate may reach.
    keep, drop : collection of str
        Covariates that stay, or go, whatever the tests say.

    Returns
    -------
    DataFrame
        One row per covariate, in the order of the columns: `covariate`; `test` (spearman or kruskal-wallis); `rho`,
        NaN for a category; `p_value`; `vif` among those kept (see `Collinearity.vif`), for one that is left out as if
        it were added to them; `kept`; `reason`, a sentence; `effect`, the share of the variance of the density's ranks
        that goes with the covariate, ρ² or for a category ε² = H/(n − 1); `n`, sites.

    Raises
    ------
    InputError
        If a name in `keep` or `drop` is unknown or in both, a value is missing, the density does not vary, or no
        covariate is left.
    """
    _check(covariates, y, specs, keep, drop)
    relations = {str(name): _relate(values, y, specs[str(name)]) for name, values in covariates.items()}
    varying = [name for name, relation in relations.items() if not relation.constant]
    collinearity = Collinearity(covariates[varying], [name for name in varying if specs[name].is_categorical])
    related = {name for name in relations if name in keep or (name not in drop and relations[name].p_value < alpha)}
    dropped = _drop_collinear(related, collinearity, relations, vif_max, keep)
    kept = related - dropped.keys()
    rows = []
    for name, relation in relations.items():
        vif = collinearity.vif(name, kept)
        objections = _objections(relation, dropped.get(name, vif), name in related, alpha, vif_max)
        rows.append(
            {
                "covariate": name,
                "test": relation.test,
                "rho": relation.rho,
                "p_value": relation.p_value,
                "vif": vif,
                "kept": name in kept,
                "reason": _reason(relation, vif, objections, name in keep, name in drop),
                "effect": relation.effect,
                "n": len(y),
            }
        )
    if not kept:
        raise InputError(
            Finding(
                f"none of {len(rows)} covariates is left. Force some in by selection.keep, or add others."
                + "".join(f"\n  {row['covariate']}: {row['reason']}" for row in rows),
                "selection",
            )
        )
    return pd.DataFrame(rows)


def _check(
    covariates: pd.DataFrame,
    y: np.ndarray,
    specs: Mapping[str, Variable],
    keep: Collection[str],
    drop: Collection[str],
) -> None:
    names = list(covariates)
    if np.shape(y) != (len(covariates),):
        raise ValueError(f"{len(covariates)} sites, but densities of shape {np.shape(y)}")
    if without := [name for name in names if name not in specs]:
        raise ValueError(f"covariates without a source: {without}")
    problems: list[str | Finding] = [
        Finding(f"{name!r} is not a covariate{nearest(name, names)}", f"selection.{key}")
        for key, listed in (("keep", keep), ("drop", drop))
        for name in listed
        if name not in names
    ]
    problems += [
        Finding(f"{name!r} is in both `keep` and `drop`; leave it in one", "selection") for name in keep if name in drop
    ]
    for name in names:
        if missing := int((~is_known(covariates[name].to_numpy())).sum()):
            problems.append(f"{name}: missing at {missing} of {len(y)} sites; the screening needs every value")
    if len(y) < 3:
        problems.append(f"the screening needs at least 3 sites; there are {len(y)}")
    elif unknown := int((~np.isfinite(y)).sum()):
        problems.append(f"the density is missing at {unknown} of {len(y)} sites; the screening needs every value")
    elif np.ptp(y) == 0:
        problems.append(f"the density is {y[0]:g} kg C/m² at all {len(y)} sites; no covariate can explain it")
    if problems:
        raise InputError(problems)


def _relate(values: pd.Series, y: np.ndarray, spec: Variable) -> _Relation:
    """Test the relation by the method that fits the kind of covariate."""
    present = np.unique(values)
    if spec.is_categorical:
        if present.size == 1:
            return _Relation(KRUSKAL_WALLIS, constant=f"{spec.class_names[int(present[0]) - 1]} at all {len(y)} sites")
        statistic, p = kruskal(*(y[(values == code).to_numpy()] for code in present))
        return _Relation(KRUSKAL_WALLIS, p_value=float(p), effect=float(statistic / (len(y) - 1)))
    if present.size == 1:
        return _Relation(SPEARMAN, constant=f"{present[0]:g} at all {len(y)} sites")
    rho, p = spearmanr(values, y)
    return _Relation(SPEARMAN, float(rho), float(p), float(rho**2))


def _drop_collinear(
    related: Collection[str],
    collinearity: Collinearity,
    relations: Mapping[str, _Relation],
    vif_max: float,
    keep: Collection[str],
) -> dict[str, float]:
    """Return covariates dropped because others repeat them, and the VIF of each when it was dropped."""
    dropped: dict[str, float] = {}
    while True:
        left = [name for name in related if name not in dropped]
        vifs = {name: collinearity.vif(name, left) for name in left}
        inflated = [name for name in left if name not in keep and vifs[name] >= vif_max]
        if not inflated:
            return dropped
        # Two that repeat each other have the same VIF up to rounding, which must not decide between them.
        worst = max(inflated, key=lambda n: (float(f"{vifs[n]:.5e}"), relations[n].p_value, -relations[n].effect, n))
        dropped[worst] = vifs[worst]


def _objections(relation: _Relation, vif: float, judged: bool, alpha: float, vif_max: float) -> str:
    """Return the objections to a covariate; its VIF only if it came to be judged by it."""
    if relation.constant:
        return f"nothing to learn from ({relation.constant})"
    objections = []
    if not relation.p_value < alpha:
        objections.append(f"no significant relation to the density ({relation}, not below {alpha:g})")
    if judged and vif >= vif_max:
        objections.append(f"collinear with others (VIF {_number(vif)}, not below {vif_max:g})")
    return "; ".join(objections)


def _reason(relation: _Relation, vif: float, objections: str, keep: bool, drop: bool) -> str:
    if keep:
        findings = f"despite {objections}" if objections else f"{relation}, VIF {_number(vif)}"
        return f"Kept as asked by selection.keep: {findings}."
    if drop:
        return f"Left out as asked by selection.drop: {objections or relation}."
    if objections:
        return f"Left out: {objections}."
    return f"Kept: related to the density ({relation}) and not collinear (VIF {_number(vif)})."


def _number(vif: float) -> str:
    return "infinite" if np.isinf(vif) else f"{vif:.1f}"
