"""Kinds of source that are registered, and sources that a function computes."""

from pathlib import Path

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pydantic import ValidationError

from engine.errors import InputError
from engine.sources.entry import KINDS, source_spec
from engine.sources.opening import open_source
from engine.sources.registered import SOURCES, ComputedSource

GEOBOX = GeoBox.from_bbox((10, 50, 14, 52), "EPSG:4326", resolution=1)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    SOURCES.register("east", lambda name, spec, base, context: ComputedSource(name, spec, lambda lon, lat: lon + lat))
    SOURCES.register("short", lambda name, spec, base, context: ComputedSource(name, spec, lambda lon, lat: lon[:2]))


def test_every_kind_of_this_package_is_registered():
    assert {SOURCES.by(key) for key in KINDS if key != "source"} == {"gelisol"}


def test_a_registered_kind_is_opened_by_its_name():
    source = open_source("e", source_spec(source="east", options={"a": 1}), Path())
    assert source.spec.place == "east (a: 1)" and source.summary().files == () and not source.summary().is_remote
    expected = np.arange(10.5, 14) + np.array([[51.5], [50.5]])
    np.testing.assert_array_equal(source.on_grid(GEOBOX, source.choose_resampling(GEOBOX)), expected.astype("float32"))


def test_a_function_that_gives_no_number_for_each_cell_is_refused():
    source = open_source("s", source_spec(source="short"), Path())
    with pytest.raises(InputError, match=r"covariates\.s: its function gives float64 of shape \(2,\); expected"):
        source.on_grid(GEOBOX, source.choose_resampling(GEOBOX))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"source": "stac"}, "'stac' is a key of its own: give `stac` in place of `source`"),
        ({"source": "eats"}, "did you mean `east`"),
        ({"source": "east", "href": "a.tif"}, "a source is one of .* this has `href` and `source`"),
        ({"source": "east", "scale": 2}, "Extra inputs are not permitted"),
    ],
)
def test_what_names_no_registered_kind_is_refused(keys: dict, problem: str):
    with pytest.raises(ValidationError, match=problem):
        source_spec(**keys)
