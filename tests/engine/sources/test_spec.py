"""An entry under `covariates:` that contradicts itself."""

import pytest
from pydantic import ValidationError

from engine.sources.spec import SourceSpec


def test_what_is_left_out():
    spec = SourceSpec(href="a.tif")
    assert (spec.reduce, spec.units, spec.group, spec.is_categorical, spec.class_names) == (
        "mean",
        "1",
        "other",
        False,
        (),
    )
    forest = SourceSpec(href="a.tif", classes={"forest": [1, 2], "wetland": ["W"]})
    assert forest.is_categorical and forest.class_names == ("forest", "wetland")


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
        SourceSpec(href="a.tif", **entries)
