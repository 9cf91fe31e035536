"""Target of a run: the carbon density of soils, or any other quantity measured at the sites."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from pipelines.runfile.section import Section

CARBON = "socd"
"""Name of the default target."""

PER_AREA = {"kg/m²": 1.0, "g/m²": 1e-3, "t/ha": 0.1, "Mg/ha": 0.1, "kg/ha": 1e-4, "g/cm²": 10.0, "mg/cm²": 0.01}
"""Mass per area → kg/m²."""
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSTANCE = r"(?P<mass>kg|Mg|mg|g|t)\s+(?P<substance>[A-Z][A-Za-z0-9]*)(?=[\s/])"


_TAKEN = frozenset(
    (
        "site",
        "lon",
        "lat",
        "top",
        "bottom",
        "depth",
        "zone",
        "source",
        "vegetation",
        "soil_type",
        "area",
        "stock",
        "rule",
    )
) | {"layers_split", "gap_bridged", "excluded", "bulk_density_filled", "coarse_fragments_filled", "soc_from_som"}


class Target(Section):
    """What is mapped; by default the density of soil organic carbon."""

    name: str = Field(
        CARBON,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="short name: of columns (`NAME_0-30`, or `NAME` of a table of layers) and of files",
    )
    units: str = Field(
        "kg m-2", min_length=1, description="e.g. `mg/kg`, `g kg-1`, `kg N m-2`; of mass per area there are stocks, too"
    )
    column: str | None = Field(
        None, description="what the table calls it (`COLUMN`, or `COLUMN_0-30`); default: the name"
    )
    label: str | None = Field(None, description="short, for axes; default: the name, of carbon SOCD")
    title: str | None = Field(None, description="what it is, e.g. `zinc content`; default: the name")

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in _TAKEN:
            raise ValueError(f"{name!r} is the name of another column of the results; call it e.g. {name}_content")
        return name

    @model_validator(mode="after")
    def _carbon_is_a_density(self) -> Self:
        if self.is_carbon and self.units.replace(" C", "").replace("²", "2").replace("/m2", " m-2") != "kg m-2":
            raise ValueError("`socd` is the density of organic carbon in kg m-2; give another quantity another `name`")
        return self

    @property
    def is_carbon(self) -> bool:
        """Whether it is the density of soil organic carbon, of which more is known than of other quantities."""
        return self.name == CARBON

    @property
    def own(self) -> str:
        """Name of the target's column in the table."""
        return self.column or self.name

    @property
    def is_amount(self) -> bool:
        """Return whether its units are those of a substance, whose amounts cannot be negative."""
        return self.has_stocks or "/" in self.printed_units or self.units in ("%", "ppm")

    @property
    def short(self) -> str:
        """Label of axes."""
        return self.label or ("SOCD" if self.is_carbon else self.name)

    @property
    def long(self) -> str:
        """Description in words."""
        return self.title or ("soil organic carbon density" if self.is_carbon else self.name)

    @property
    def noun(self) -> str:
        """Noun for sentences."""
        return "density" if self.has_stocks else "value"

    @property
    def nouns(self) -> str:
        """The plural of `noun`."""
        return "densities" if self.has_stocks else "values"

    @property
    def printed_units(self) -> str:
        """Units as people print them, e.g. `kg C/m²`."""
        if self.is_carbon:
            return "kg C/m²"
        text = re.sub(r"\s+([A-Za-zµ]+)-([123])\b", lambda m: f"/{m[1]}{m[2] if m[2] != '1' else ''}", self.units)
        return re.sub(r"(?<=[a-z])\^?([23])\b", lambda m: m[1].translate(_SUPERSCRIPTS), text)

    @property
    def cf_units(self) -> str:
        """Units for files, without the substance."""
        return re.sub(_SUBSTANCE, r"\g<mass>", self.units)

    @property
    def kg_per_m2(self) -> float | None:
        """One unit in kg/m²; None if it is not a mass per area."""
        return PER_AREA.get(re.sub(_SUBSTANCE, r"\g<mass>", self.printed_units))

    @property
    def has_stocks(self) -> bool:
        """Whether its sum over an area is a stock."""
        return self.kg_per_m2 is not None

    @property
    def per_km2(self) -> float:
        """Pg on 1 km² that holds one unit; of what has no stocks, 10⁻⁶, by which all is divided again."""
        return 1e-6 * (self.kg_per_m2 or 1.0)

    def stock_unit(self, largest_pg: float) -> tuple[str, float]:
        """Return the unit that shows stocks without leading zeros, and the factor from Pg to it."""
        return stock_unit(self.printed_units, largest_pg)


def stock_unit(units: str, largest_pg: float) -> tuple[str, float]:
    """Return the unit that shows stocks without leading zeros, e.g. `Tg N`, and the factor from Pg to it.

    Parameters
    ----------
    units : str
        Of the density, as people print them.
    largest_pg : float
        Of the stocks.
    """
    found = re.search(_SUBSTANCE, units)
    substance = f" {found['substance']}" if found else ""
    scales = [("Pg", 1.0), ("Tg", 1e3)] + ([] if substance == " C" else [("Gg", 1e6), ("Mg", 1e9)])
    unit, factor = next((scale for scale in scales if largest_pg * scale[1] >= 0.1), scales[-1])
    return f"{unit}{substance}", factor


CARBON_DENSITY = Target()
"""The default."""
