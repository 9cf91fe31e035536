"""Kinds of source of a record: one's own fieldwork, a paper, or a collection of others' profiles."""

import re

import pandas as pd

SURVEY, LITERATURE, DATABASE = "own survey", "literature", "database"
OTHER, UNSTATED = "other source", "source not stated"
KINDS = (SURVEY, LITERATURE, DATABASE, OTHER, UNSTATED)
"""In the order of legends."""

_RULES = (
    (r"\b(?:own|our|ours)\b|this (?:study|work)|unpublished|本研究", SURVEY),
    (
        r"data ?-?(?:base|set|bank|cent(?:re|er))|wosis|isric|ncscd|nrcs|soil survey|inventory|archive|repository",
        DATABASE,
    ),
    (r"pangaea|zenodo|普查|数据库|数据集|база данных", DATABASE),
    (r"\bdoi\b|10\.\d{4,9}/|\bet al\b|literature|\bpapers?\b|journal|publication|published|\bthesis", LITERATURE),
    (r"dissertation|\barticles?\b|\bref(?:erence)?s?\b|文献|литератур", LITERATURE),
    (r"survey|field|transect|sampled|sampling|measured|campaign|expedition|实测|采样|野外", SURVEY),
    (r"^\D*\b(?:1[89]|20)\d\d[a-z]?\)?\.?$", LITERATURE),
)
"""Words of a source → its kind; the first that fits counts."""
_COMPILED = tuple((re.compile(words, re.IGNORECASE), kind) for words, kind in _RULES)


def kind_of(source: str | float | None) -> str:
    """Return the kind of a source by the words of the column `source`.

    `own survey`: own, our, this study, unpublished, or else survey, field, transect, campaign. `database`: database,
    data set, archive, inventory, soil survey (of a nation), … `literature`: a DOI, `et al.`, paper, journal,
    literature, or a name with a year at its end. The rules are tried in the order of `_RULES`.

    Parameters
    ----------
    source : str, NaN or None
        Content of the column; empty or NaN where nothing was stated.

    Returns
    -------
    str
        One of `KINDS`.
    """
    if source is None or pd.isna(source) or not str(source).strip():
        return UNSTATED
    text = str(source).strip()
    for pattern, kind in _COMPILED:
        if pattern.search(text):
            return kind
    return OTHER
