"""An entry under `covariates:` that contradicts itself."""

import pytest
from pydantic import ValidationError

from engine.sources.entry import DEFAULTS, SOURCE_KEYS, FormulaSpec, source_spec
from engine.sources.kinds import FileSpec, ItemsSpec, LayersSpec
from engine.sources.variable import Variable


def test_what_is_left_out():
    spec = source_spec(href="a.tif")
    assert (spec.reduce, spec.units, spec.group, spec.is_categorical, spec.class_names) == (
        "mean",
        "1",
        "other",
        False,
        (),
    )
    forest = source_spec(href="a.tif", classes={"forest": [1, 2], "wetland": ["W"]})
    assert forest.is_categorical and forest.class_names == ("forest", "wetland")


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"href": "a.tif"}, FileSpec),
        ({"stac": {"api": "a", "collection": "c"}}, ItemsSpec),
        ({"layers": {"0-5": "a.tif"}}, LayersSpec),
        ({"layers": {"0-5": 1}, "href": "a.tif"}, LayersSpec),
        ({"layers": {"0-5": "x"}, "stac": {"api": "a", "collection": "c"}}, LayersSpec),
        ({"expression": "2 * a", "of": {"a": {"href": "a.tif"}}}, FormulaSpec),
    ],
)
def test_kinds_are_told_apart_by_their_keys(keys, kind):
    spec = source_spec(**keys)
    assert type(spec) is kind and isinstance(spec, Variable)
    assert source_spec(**spec.model_dump(exclude_none=True)) == spec
    everything = {name: DEFAULTS[name] for name in SOURCE_KEYS if name not in keys}
    assert source_spec(**keys, **everything) == spec  # what other kinds have, and says nothing


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "this has none of them"),
        ({"href": "a", "expression": "b"}, "this has `href` and `expression`"),
        ({"href": "a", "stac": {"api": "a", "collection": "c"}}, "this has `href` and `stac`"),
        ({"layers": {"0-5": "a"}, "expression": "b"}, "this has `expression` and `layers`"),
        ({"layers": {"0-5": "a"}, "href": "b"}, "this has `href` and `layers`"),
        ({"layers": {"0-5": 1}}, "Give `href` as well"),
        ({"expression": "a", "scale": 2}, r"\[FormulaSpec\].scale\n  Extra inputs are not permitted"),
        ({"href": "a", "of": {}}, r"\[FileSpec\].of\n  Extra inputs are not permitted"),
        ({"hreff": "a"}, r"\[FileSpec\].hreff\n  Extra inputs are not permitted"),
    ],
)
def test_entries_of_no_kind_or_with_keys_of_another(keys, message):
    with pytest.raises(ValidationError, match=message):
        source_spec(**keys)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"scal": 0.1}, "Extra inputs are not permitted"),
        ({"months": [0, 13]}, "a month is 1 to 12, not 0"),
        ({"period": [2020, 2000]}, "runs backwards: 2020 is after 2000"),
        ({"valid_range": [5, 1]}, "`valid_range` is empty: 5.0 is above 1.0"),
        ({"attribute": "code"}, "`attribute` reads polygons of a category: give `classes`"),
        ({"classes": {}}, "`classes` is empty"),
        ({"classes": {f"c{i}": [i] for i in range(255)}}, "has 255 classes; at most 254 fit the cube"),
        ({"classes": {"a": [1, 2], "b": [2]}}, "lists the code 2 in more than one place"),
        ({"classes": {"a": [1]}, "resampling": "bilinear"}, "would mix class codes; use nearest or mode"),
        ({"resampling": "mode"}, "is for categories; use average for numbers"),
        ({"reduce": "median"}, "Input should be 'mean', 'min', 'max', 'sum', 'annual_sum' or 'anomaly'"),
        ({"band": 0}, "greater than or equal to 1"),
    ],
)
def test_contradictions(entries, message):
    with pytest.raises(ValidationError, match=message):
        source_spec(href="a.tif", **entries)
