"""Keys that do not apply to a kind of source are named: as problems where they are meant to change values."""

import pytest
from small_run import SmallRun

from pipelines.preflight.prepare import survey


def found(run: SmallRun) -> tuple[list[str], list[tuple[str, str]]]:
    seen = survey(run.path)
    return list(map(str, seen.problems.found)), [(note.key, note.message) for note in seen.notes]


@pytest.mark.parametrize(
    ("name", "key", "value", "kind"),
    [
        ("vegetation", "months", [7], "polygons"),
        ("vegetation", "reduce", "max", "polygons"),
        ("vegetation", "nodata", 3, "polygons"),
        ("vegetation", "scale", 0.1, "polygons"),
        ("vegetation", "band", 2, "polygons"),
        ("vegetation", "variable", "code", "polygons"),
        ("tn", "layer", "second", "rasters"),
        ("tn", "coordinates", "lower_left", "rasters"),
        ("mat", "layer", "second", "arrays (NetCDF, Zarr)"),
    ],
)
def test_what_is_meant_to_change_values_is_a_problem(run: SmallRun, name, key, value, kind):
    run.set(f"covariates.{name}.{key}", value)
    assert found(run)[0] == [f"covariates.{name}.{key}: does not apply to {kind}; leave it out"]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("vegetation", "period", [2000, 2010]),
        ("vegetation", "resampling", "nearest"),
        ("mat", "grids", "many"),
    ],
)
def test_what_is_merely_idle_is_a_note(run: SmallRun, name, key, value, gelisol):
    run.set(f"covariates.{name}.{key}", value)
    problems, notes = found(run)
    assert not problems
    ((where, note),) = notes
    assert where == name and note.startswith(f"`{key}` does not apply to ") and note.endswith(" and changes nothing")
    assert f"{name}: `{key}` does not apply" in gelisol("check", run.path).stdout


def test_formulas_and_their_own_terms(run: SmallRun):
    own = {"href": "vegetation.gpkg", "attribute": "code", "classes": {"forest": [1]}}
    run.set("covariates.twice", {"expression": "2 * a", "of": {"a": {"href": "tn.tif", "layer": "x"}}, "scale": 0.1})
    assert found(run)[0] == [
        "covariates.twice.scale: does not apply to a formula, which is computed from its terms; leave it out",
        "covariates.twice.of.a.layer: does not apply to rasters; leave it out",
    ]
    run.set("covariates.twice", {"expression": "2 * ai"})
    run.set("zones", {**own, "months": [7]})
    assert found(run)[0] == ["zones.months: does not apply to polygons; leave it out"]


def test_an_attribute_of_a_raster(run: SmallRun):
    run.set("covariates.soil", {"href": "tn.tif", "attribute": "code", "classes": {"a": [1]}})
    assert found(run)[0] == [
        "covariates.soil.attribute: names a column of polygons, but tn.tif is a raster, whose values are the codes; "
        "leave `attribute` out"
    ]


def test_what_applies_is_not_named(run: SmallRun):
    assert found(run) == ([], [])
    run.set("covariates.mat.months", [6, 7, 8])
    run.set("covariates.vegetation.resampling", "mode")
    run.set("covariates.tn.band", 1)
    run.set("covariates.tn.grids", "one")
    assert found(run) == ([], [])
