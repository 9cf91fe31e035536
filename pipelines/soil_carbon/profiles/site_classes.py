"""Classes recorded at the sites, as the codes of a categorical covariate: `at_site` of a category."""

from collections.abc import Mapping

import pandas as pd

from engine.formatting import counted
from engine.sources.variable import Variable
from pipelines.runfile.nearest import nearest
from pipelines.soil_carbon.profile_table.checks import Problems


def class_codes(recorded: pd.Series, spec: Variable) -> "pd.Series[int]":
    """Return cube codes 1, 2, … of classes recorded by name, or by a stored code of the source; 0 for others.

    Parameters
    ----------
    recorded : Series
        Names in upper or lower case, or codes as `classes` lists them.
    spec : Variable
        Of the category.
    """
    assert spec.classes is not None
    known = {str(code).casefold(): number for number, codes in enumerate(spec.classes.values(), 1) for code in codes}
    known |= {name.casefold(): number for number, name in enumerate(spec.class_names, 1)}
    text = recorded.map(_as_written, na_action="ignore")
    return text.map(known).fillna(0).astype("uint8")


def check_classes(
    records: pd.DataFrame, at_site: Mapping[str, str], categories: Mapping[str, Variable], problems: Problems
) -> None:
    """Report every class recorded at sites that the map lacks, once, with its first place.

    Parameters
    ----------
    records : DataFrame
        The table; its index says where a row is.
    at_site : mapping
        Covariate → column.
    categories : mapping
        Covariate → source, of the categories.
    """
    for covariate, column in at_site.items():
        if covariate not in categories:
            continue
        spec, recorded = categories[covariate], records[column]
        unknown = records[recorded.notna() & (class_codes(recorded, spec) == 0)]
        messages = [
            f"{problems.at(rows.iloc[0])}: {problems.table.column(column)} is {value!r} "
            f"({counted(len(rows), 'record')}), "
            f"not a class of covariates.{covariate}{nearest(str(value), spec.class_names)}. Rename it, add it to "
            "`classes`, or leave the field empty where the map's class is to count"
            for value, rows in unknown.groupby(column, sort=False)
        ]
        problems.add(f"classes that covariates.{covariate} lacks", messages)


def _as_written(value: object) -> str:
    """Return a code as written: `3` for one that a table without text keeps as 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()
