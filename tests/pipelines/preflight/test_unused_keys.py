"""Keys that do not apply to a kind of source are named: as problems where they are meant to change values."""

import pytest
from small_run import SmallRun

from pipelines.preflight.prepare import survey


def found(run: SmallRun) -> list[str]:
    return list(map(str, survey(run.path).problems.found))


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
        ("mat", "grids", "many", "arrays (NetCDF, Zarr)"),
        ("vegetation", "period", [2000, 2010], "polygons"),
        ("vegetation", "resampling", "nearest", "polygons"),
    ],
)
def test_what_files_of_a_kind_do_not_use(run: SmallRun, name, key, value, kind):
    run.set(f"covariates.{name}.{key}", value)
    assert found(run) == [f"covariates.{name}.{key}: does not apply to {kind}; leave it out"]


@pytest.mark.parametrize(
    ("entry", "key", "message"),
    [
        ({"expression": "2 * tn"}, "scale", "a formula, which is computed from its terms; leave it out"),
        ({"expression": "2 * tn"}, "period", "a formula, which is computed from its terms; leave it out"),
        ({"layers": {"0-5": "tn.tif"}}, "layer", "soil layers (`layers`); did you mean `layers`?"),
        (
            {"stac": {"api": "https://a.org", "collection": "c"}},
            "attribute",
            "items of a STAC catalog (`stac`); leave it out",
        ),
        ({"href": "tn.tif"}, "depth", "files (`href`); leave it out"),
        ({"href": "tn.tif"}, "of", "files (`href`); leave it out"),
    ],
)
def test_what_a_kind_of_source_does_not_have(run: SmallRun, entry, key, message):
    run.set("covariates.more", {**entry, key: [2000, 2010] if key in ("period", "depth") else {} if key == "of" else 2})
    (text,) = (text for text in found(run) if "does not apply" in text)
    assert text.endswith(f"`covariates.more.{key}` does not apply to {message}") and text.startswith(
        f"{run.path}, line "
    )


def test_what_says_what_is_the_case_anyway(run: SmallRun):
    """As in resolved run files of earlier versions, which had all keys in every entry."""
    run.set(
        "covariates.more", {"expression": "2 * tn", "band": 1, "reduce": "mean", "coordinates": "center", "of": None}
    )
    assert found(run) == []


def test_formulas_and_their_own_terms(run: SmallRun):
    own = {"href": "vegetation.gpkg", "attribute": "code", "classes": {"forest": [1]}}
    run.set("covariates.twice", {"expression": "2 * a", "of": {"a": {"href": "tn.tif", "layer": "x"}}})
    assert found(run) == ["covariates.twice.of.a.layer: does not apply to rasters; leave it out"]
    run.set("covariates.twice", {"expression": "2 * ai"})
    run.set("zones", {**own, "months": [7]})
    assert found(run) == ["zones.months: does not apply to polygons; leave it out"]


def test_an_attribute_of_a_raster(run: SmallRun):
    run.set("covariates.soil", {"href": "tn.tif", "attribute": "code", "classes": {"a": [1]}})
    assert found(run) == [
        "covariates.soil.attribute: names a column of polygons, but tn.tif is a raster, whose values are the codes; "
        "leave `attribute` out"
    ]


def test_what_applies_is_not_named(run: SmallRun):
    assert found(run) == []
    run.set("covariates.mat.months", [6, 7, 8])
    run.set("covariates.vegetation.resampling", "mode")
    run.set("covariates.tn.band", 1)
    run.set("covariates.tn.grids", "one")
    assert found(run) == []
