"""Guards of units: columns whose values show that they are in another unit than the pipeline takes."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.errors import Finding
from pipelines.runfile.column_units import Conversion, conversion, has_units
from pipelines.runfile.depth_intervals import Depths
from pipelines.soil_carbon.profile_table.table import ObservationTable
from pipelines.soil_carbon.profiles.carbon_units import FACTORS, Verdict, judge_carbon

SOC_PER_SOM = 0.58
EXAMPLES = 5
"""Rows that a message shows with what they would be in the other unit."""

HEAVIEST = 2.7
"""g/cm³ of quartz; no soil is denser."""


@dataclass(frozen=True)
class Sign:
    """A column that looks as if it were in another unit.

    Parameters
    ----------
    columns : tuple of str
        Default names.
    sure : bool
        Whether it is a problem rather than a warning.
    text : str
        What was found, in how many rows, what they would be, and what to write.
    """

    columns: tuple[str, ...]
    sure: bool
    text: str

    def problem(self, table: ObservationTable) -> str:
        """Describe a sure sign, and how to overrule it."""
        return (
            f"{table.path}: {self.text} If the values are right as they are, write `observations.sure_of: "
            f"[{', '.join(self.columns)}]`."
        )

    @property
    def warning(self) -> Finding:
        """Text of the warning for a doubtful sign."""
        return Finding.warning(self.text)


def layer_signs(table: ObservationTable, layers: pd.DataFrame, som_to_soc: float = SOC_PER_SOM) -> list[Sign]:
    """Judge the units of a table of layers.

    Parameters
    ----------
    table : ObservationTable
        For messages.
    layers : DataFrame
        Numbers as the pipeline takes them: `top`, `bottom` (cm), `soc`, `som`, `tn` (g/kg), `bulk_density` (g/cm³),
        `coarse_fragments` (volume %), in rows of the table.
    som_to_soc : float
        Carbon's share of organic matter.

    Returns
    -------
    list of Sign
    """
    signs = [*_depths(table, layers), *_bulk_density(table, layers)]
    scaled = dict.fromkeys(("soc", "som"), 1.0)
    apart = list(_carbon_against_matter(table, layers))
    for column, share in (("soc", 1.0), ("som", som_to_soc)):
        if layers[column].notna().any() and not apart:
            found, factor = _carbon(table, layers, column, share, bulk_density_is_sound=not signs)
            signs += found
            scaled[column] = factor
    signs += [*apart, *_fragments(table, layers)]
    if "tn" in layers:
        signs += _nitrogen(table, layers, scaled["soc"])
    return signs


def density_signs(table: ObservationTable, frame: pd.DataFrame, depths: Depths) -> list[Sign]:
    """Judge the units of densities that a table gives: kg C/m² in the column `socd_TOP-BOTTOM` of each depth.

    A cubic metre of soil holds 5 to 70 kg of carbon, and no more than 200.
    """
    signs = []
    for top, bottom in depths:
        column = f"socd_{top:g}-{bottom:g}"
        values = frame[column]
        there = values[values > 0]
        if len(there) < 5:
            continue
        in_cubic_metre = float(there.median()) * 100 / (bottom - top)
        unit, factor = ("g/m2", 0.001) if in_cubic_metre > 2000 else ("t/ha", 0.1)
        if in_cubic_metre < 0.5:
            unit, factor = "g/cm2", 10.0
        elif in_cubic_metre <= 70:
            continue
        sure = in_cubic_metre > 110 or in_cubic_metre < 0.15
        signs.append(
            Sign(
                (column,),
                sure,
                f"{table.column(column)} {'is' if sure else 'may be'} in {unit}, not kg C/m²: half of {len(there)} "
                f"sites hold {there.median():.3g} or more, {in_cubic_metre:.3g} kg in a cubic metre, where soils hold "
                f"5 to 70; if so, {_write(table, column, unit)}. {would_be(table, there, factor, 'kg C/m²')}.",
            )
        )
    return signs


def heeded(signs: list[Sign], sure_of: Collection[str], declared: Collection[str] = ()) -> list[Sign]:
    """Return signs without those that the user overruled, and doubts without columns whose unit the user named."""
    return [
        sign
        for sign in signs
        if not set(sign.columns) & set(sure_of) and (sign.sure or not set(sign.columns) & set(declared))
    ]


def would_be(table: ObservationTable, values: "pd.Series[float]", factor: float, units: str) -> str:
    """Return `line 2: 1.4 would be 14 g/kg, line 3: …`, for a few rows."""
    shown = [
        f"{table.counted} {row}: {v:g} would be {v * factor:.3g} {units}" for row, v in values.head(EXAMPLES).items()
    ]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more > 0 else "")


def _write(table: ObservationTable, column: str, unit: str) -> str:
    """Tell what to write into the run file."""
    if declared := table.units.get(column):
        return f"correct `observations.units.{column}`, which says {declared}"
    quoted = f'"{unit}"' if unit == "%" else unit
    return f"write `observations.units: {{{column}: {quoted}}}`"


def _write_depths(table: ObservationTable, unit: str) -> str:
    if {"top", "bottom"} & set(table.units):
        return "correct `observations.units` of top and bottom"
    return f"write `observations.units: {{top: {unit}, bottom: {unit}}}`"


def _unit_of(table: ObservationTable, column: str, factor: float) -> str | None:
    """Return the unit of a column's fields, of which `factor` is still missing to g/kg."""
    declared = table.units.get(column)
    known = conversion(column, declared) if declared and has_units(column) else Conversion(1.0)
    if known.per != "mass":
        return None
    return next((unit for unit, f in FACTORS.items() if np.isclose(f, factor * known.factor)), None)


def _carbon(
    table: ObservationTable, layers: pd.DataFrame, column: str, share: float, bulk_density_is_sound: bool
) -> tuple[list[Sign], float]:
    middle = (layers["top"] + layers["bottom"]) / 2
    density = layers["bulk_density"] if bulk_density_is_sound else layers["bulk_density"] * np.nan
    verdict = judge_carbon(layers[column] * share, density, middle)
    if verdict.factor != 1.0:
        return [_carbon_sign(table, layers[column], column, verdict, share)], verdict.factor
    return [], 1.0


def _carbon_sign(
    table: ObservationTable, values: "pd.Series[float]", column: str, verdict: Verdict, share: float
) -> Sign:
    name, unit = table.column(column), _unit_of(table, column, verdict.factor) or "another unit"
    there = values.dropna()
    typical, expected = verdict.typical / share, verdict.expected / share
    looks = "is" if verdict.sure else "may be"
    also = " (or in %)" if unit == "g/g" and verdict.by != "bulk density" else ""
    why = {
        "bulk density": f"soils of the bulk density of its {verdict.n} layers hold some {expected:.2g} g/kg, half of "
        f"these {typical:.3g} or less",
        "depth": f"half of its {verdict.n} values are {typical:.3g} or less, none exceeds {there.max():g}; soils hold "
        f"some {expected:.2g} g/kg at such depths",
        "largest": f"its {verdict.n} values reach from {there.min():g} to {there.max():g}",
    }[verdict.by]
    text = (
        f"{name} {looks} in {unit}{also}, not g/kg: {why}; if so, {_write(table, column, unit)}. "
        f"{would_be(table, there, verdict.factor, 'g/kg')}."
    )
    return Sign((column,), verdict.sure, text)


def _carbon_against_matter(table: ObservationTable, layers: pd.DataFrame) -> Iterator[Sign]:
    """Yield signs from carbon against organic matter: its share is some 0.58; ten times off, one of them is in %."""
    ratio = (layers["soc"] / layers["som"].where(layers["som"] > 0)).dropna()
    if len(ratio) < 5:
        return
    median = float(ratio.median())
    for wrong, right, low, high in (("soc", "som", 0.03, 0.09), ("som", "soc", 3.0, 9.0)):
        if low <= median <= high:
            rows = layers.loc[ratio.index, wrong]
            yield Sign(
                (wrong, right),
                True,
                f"{table.column(wrong)} and {table.column(right)} are in units ten times apart: SOC/SOM is "
                f"{median:.2g} in {len(ratio)} layers, expected 0.4 to 0.7. If {table.column(wrong)} is "
                f"in %, {_write(table, wrong, '%')}: {would_be(table, rows, 10, 'g/kg')}.",
            )


def _bulk_density(table: ObservationTable, layers: pd.DataFrame) -> Iterator[Sign]:
    name, values = table.column("bulk_density"), layers["bulk_density"]
    there = values[values > 0]
    heavy = there[there > HEAVIEST]
    if there.empty:
        return
    if len(heavy) >= max(2, 0.5 * len(there)):
        # Peat of 0.1 g/cm³ is 100 kg/m³; nothing heavier than 270 can be in cg/cm³.
        unit, factor = (
            ("kg/m3", 0.001) if there.quantile(0.9) > 100 * HEAVIEST or there.median() < 60 else ("cg/cm3", 0.01)
        )
        if there.quantile(0.97) * factor > HEAVIEST:
            return
        other = "" if unit == "kg/m3" else " (or, if all layers are peat, in kg/m3)"
        yield Sign(
            ("bulk_density",),
            True,
            f"{name} is in {unit}{other}, not g/cm³: {len(heavy)} of {len(there)} values exceed {HEAVIEST:g} g/cm³, "
            f"which no soil does, with a median of {there.median():.3g}; {_write(table, 'bulk_density', unit)}. "
            f"{would_be(table, heavy, factor, 'g/cm³')}.",
        )
    elif there.median() < 0.03:
        low = there.quantile(0.97)
        factor = 1000.0 if low < 0.0027 else 100.0 if low < 0.027 else 1.0
        text = f"the median bulk density is {there.median():g} g/cm³, lighter than any peat"
        yield Sign(("bulk_density",), factor == 1000.0 and len(there) >= 5, f"{text}; check the unit of {name}.")


def _fragments(table: ObservationTable, layers: pd.DataFrame) -> Iterator[Sign]:
    name, values = table.column("coarse_fragments"), layers["coarse_fragments"]
    some = values[values > 0]
    if some.empty:
        return
    over = some[some > 100]
    if len(over) >= max(3, 0.1 * len(some)) and some.max() <= 1000:
        yield Sign(
            ("coarse_fragments",),
            True,
            f"{name} is in g/kg, not volume %: {len(over)} of {len(some)} values exceed 100; "
            "a share of mass, where a share of volume is needed: divide the volume of the stones (mass / 2.65 g/cm³) "
            "by that of the layer.",
        )
    elif some.max() <= 1:
        broken = some[some < 1]
        yield Sign(
            ("coarse_fragments",),
            bool(broken.nunique() >= 10 and broken.quantile(0.9) > 0.1),
            f"{name} may be a fraction, not volume %: none of {len(some)} values above 0 exceeds {some.max():g}; "
            f"if so, {_write(table, 'coarse_fragments', 'fraction')}. {would_be(table, some, 100, '%')}.",
        )


def _nitrogen(table: ObservationTable, layers: pd.DataFrame, soc_factor: float) -> Iterator[Sign]:
    """Yield signs from carbon against nitrogen: soils hold 8 to 40 times as much carbon."""
    name, values = table.column("tn"), layers["tn"]
    there = values[values > 0]
    if len(there) < 5:
        return
    ratio = (layers["soc"] * soc_factor / there).dropna()
    ratio = ratio[ratio > 0]
    if len(ratio) >= 5:
        median = float(ratio.median())
        unit = "%" if 60 <= median <= 450 else "mg/kg" if 0.004 <= median <= 0.06 else "g/g" if median >= 4000 else None
        sure, why = (
            len(ratio) >= 20,
            f"carbon is {median:.3g} times nitrogen in half of {len(ratio)} layers, expected 8 to 40",
        )
    else:
        middle = float(there.median())
        unit = "mg/kg" if middle > 60 else "%" if there.max() < 1 else None
        sure, why = middle > 100, f"half of {len(there)} values are {middle:.3g} or less, soils hold 0.3 to 30 g/kg"
    if unit:
        factor = FACTORS[unit]
        looks = "is" if sure else "may be"
        yield Sign(
            ("tn",),
            sure,
            f"{name} {looks} in {unit}, not g/kg: {why}; if so, {_write(table, 'tn', unit)}. "
            f"{would_be(table, there, factor, 'g/kg')}.",
        )


def _depths(table: ObservationTable, layers: pd.DataFrame) -> Iterator[Sign]:
    """Yield signs from depths: in m they end at a few units, in broken numbers; in mm at hundreds, in round ones."""
    sound = layers.dropna(subset=["top", "bottom"])
    if len(sound) < 3:
        return
    bounds = pd.concat([sound["top"].abs(), sound["bottom"].abs()])
    thickness, deepest = float((sound["bottom"] - sound["top"]).abs().median()), float(bounds.max())
    reach = float(sound.groupby("site")["bottom"].max().median()) if "site" in sound else deepest
    names = f"{table.column('top')} and {table.column('bottom')}"
    inner = bounds[bounds > 0]
    broken = float((inner % 1 != 0).mean())
    if deepest <= 10 and thickness <= 1 and broken >= 0.2:
        unit, factor, sure = "m", 100.0, deepest <= 6 or broken >= 0.5
    elif thickness >= 50 and reach >= 300 and float((inner % 10 == 0).mean()) >= 0.9:
        unit, factor, sure = "mm", 0.1, reach >= 600 and thickness >= 60 and deepest >= 1000
    else:
        return
    looks = "are" if sure else "may be"
    yield Sign(
        ("top", "bottom"),
        sure,
        f"{names} {looks} in {unit}, not cm: half of {len(sound)} layers are {thickness:g} thick or less, the deepest "
        f"ends at {deepest:g}; if so, {_write_depths(table, unit)}. "
        f"Bottoms: {would_be(table, sound['bottom'], factor, 'cm')}.",
    )
