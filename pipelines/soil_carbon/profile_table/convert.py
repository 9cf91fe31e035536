"""Columns in the table's units brought to those of the pipeline."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from engine.errors import Finding, InputError
from engine.formatting import counted
from engine.sources.variable import Variable
from pipelines.runfile.column_units import Conversion, conversion, has_units, ratio
from pipelines.soil_carbon.profile_table.checks import Problems
from pipelines.soil_carbon.profile_table.names import did_you_mean


def conversions(
    units: Mapping[str, str], at_site: Mapping[str, str], covariates: Mapping[str, Variable]
) -> dict[str, Conversion]:
    """Find how each column is converted.

    A column that `at_site` names is brought to its covariate's units, any other to those of `units.STANDARD`.

    Raises
    ------
    InputError
        If the covariate's units are of another kind.
    """
    covariate_of = {column: covariates[name] for name, column in at_site.items() if name in covariates}
    found, problems = {}, []
    for column, unit in units.items():
        target = covariate_of[column].units if column in covariate_of else None
        factor = None if target is None else ratio(unit, target)
        if factor is not None:
            found[column] = Conversion(factor)
        elif has_units(column):
            found[column] = conversion(column, unit)
        elif target is not None:
            problems.append(
                Finding(
                    f"{unit!r} cannot be turned into the covariate's units, {target!r}; "
                    "convert the "
                    "column, or give the covariate's units",
                    f"observations.units.{column}",
                )
            )
    if problems:
        raise InputError(problems)
    return found


def convert(
    frame: pd.DataFrame, units: Mapping[str, str], by: Mapping[str, Conversion], problems: Problems
) -> tuple[pd.DataFrame, list[Finding]]:
    """Convert columns.

    Carbon per volume or area is that of the whole layer, stones included: Eq. 1 is solved for the content of the fine
    earth, with the row's bulk density, coarse fragments (0 where none are given) and thickness.

    Parameters
    ----------
    frame : DataFrame
        Numbers.
    units : mapping
        Column → unit, as the run file has it.
    by : mapping
        Of `conversions`.
    problems : Problems
        Takes columns that are not there, and carbon per volume or area without a bulk density.

    Returns
    -------
    frame : DataFrame
    notes : list of Finding
    """
    absent = [column for column in units if column not in frame and column != "depth"]
    problems.found += [
        Finding(
            f"the table has no such column{did_you_mean(column, problems.table.own)}", f"observations.units.{column}"
        )
        for column in absent
    ]
    changed = {
        column: _scaled(frame[column], by[column].factor)
        for column in units
        if column in frame and column in by and column != "depth"
    }
    frame = frame.assign(**changed)
    if "soc" not in changed or by["soc"].per == "mass" or not {"top", "bottom"} <= set(frame):
        return frame, []
    return _content(frame, by["soc"].per, problems)


def _content(frame: pd.DataFrame, per: str, problems: Problems) -> tuple[pd.DataFrame, list[Finding]]:
    """Convert kg per m³ or m² of the whole layer to grams per kg of fine earth."""
    empty = pd.Series(np.nan, frame.index)
    bulk_density, fragments = frame.get("bulk_density", empty), frame.get("coarse_fragments", empty)
    stated = frame["soc"].notna()
    unknown = stated & ~(bulk_density > 0) & ~frame.index.isin(problems.fields.get("bulk_density", ()))
    problems.add_rows(
        f"carbon per {per} without a bulk density",
        frame[unknown & bulk_density.isna()],
        lambda row: f"`soc` is given per {per}, which needs the row's bulk density",
        "bulk_density",
    )
    bare = stated & fragments.isna()
    fine = 1 - fragments.fillna(0.0) / 100
    carbon = frame["soc"] if per == "volume" else frame["soc"] / ((frame["bottom"] - frame["top"]) / 100)
    with np.errstate(divide="ignore", invalid="ignore"):
        content = carbon / (bulk_density * fine)
    sound = np.isfinite(content) & (bulk_density > 0) & (fine > 0)
    frame = frame.assign(soc=content.where(sound), coarse_fragments=fragments.mask(bare, 0.0))
    note = f"SOC per {per} divided by bulk density and the share of fine earth in {counted(int(sound.sum()), 'layer')}"
    note += f"; coarse fragments are taken as 0 in {bare.sum()} of them, where none are given." if bare.any() else "."
    return frame, [Finding.note(note)]


def _scaled(values: "pd.Series[float]", factor: float) -> "pd.Series[float]":
    """Multiply values by a factor, without the last digits that binary fractions add: 0.14 % is 1.4 g/kg."""
    if factor == 1:
        return values
    return pd.Series([float(f"{v:.12g}") for v in values.to_numpy(np.float64) * factor], values.index)
