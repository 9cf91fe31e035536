"""A look at the values before a run: what cannot be right is named, with what may mend it."""

import re
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import small_run
from pyproj import Transformer
from small_run import SmallRun
from web import serving

from engine.errors import Level
from engine.sources.entry import source_spec
from engine.sources.spec import SourceSpec
from pipelines.commands import check
from pipelines.preflight.inspection import Inspection
from pipelines.preflight.prepare import open_run
from pipelines.preflight.sample_points import Lattice, patches
from pipelines.preflight.value_ranges import doubt, expectation

COLD = np.linspace(-8.0, 2.0, 50)


def spec(units: str = "degC", **entries) -> SourceSpec:
    return source_spec(href="x", units=units, **entries)


@pytest.mark.parametrize(
    ("name", "units", "values", "words"),
    [
        ("mat", "degC", COLD + 273.15, "kelvin: add `offset: -273.15`"),
        ("soil", "degC", COLD + 273.15, "kelvin: add `offset: -273.15`"),
        ("soil", "K", COLD, "degrees Celsius: add `offset: 273.15`"),
        ("clay", "%", np.linspace(1.2, 0.9, 9) * 1e3, "hundredths: add `scale: 0.01`"),
        ("mat", "degC", np.linspace(-80, 20, 50), "tenths: add `scale: 0.1`"),
        ("mat", "degC", np.full(9, -43.0), "tenths: add `scale: 0.1`"),
        ("mat", "degC", (COLD + 273.15) * 10, "tenths of a kelvin"),
        ("ph", "1", np.linspace(50, 78, 9), "tenths"),
        ("ndvi", "1", np.linspace(1000, 8000, 9), "ten-thousandths"),
        ("ai", "1", np.linspace(3000, 9000, 9), "ten-thousandths"),
        ("clay", "%", np.linspace(100, 400, 9), "tenths"),
    ],
)
def test_values_in_another_unit(name, units, values, words):
    found = doubt(name, spec(units), values)
    assert found is not None and words in found.message
    assert str(found).startswith(f"covariates.{name}: values from ")
    assert found.level is Level.NOTE or units != "1"  # no units, no certainty


@pytest.mark.parametrize(
    ("name", "units", "values"),
    [("mat", "degC", COLD), ("mat", "K", COLD + 273.15), ("ndvi", "1", np.linspace(-0.1, 0.9, 9)),
     ("odd", "1", COLD * 1e6), ("map", "mm", np.linspace(230, 680, 9)), ("npp", "kg C/m2", np.linspace(0, 0.9, 9)),
     ("mat", "degC", COLD * np.nan)],
)  # fmt: skip
def test_values_that_can_be(name, units, values):
    assert doubt(name, spec(units), values) is None


def test_a_few_odd_cells_are_no_matter_and_expected_overrules_the_name():
    values = np.append(np.tile(COLD, 20), 99.0)
    assert doubt("mat", spec(), values) is None
    assert doubt("mat", spec(expected=(200, 320)), COLD + 273.15) is None
    own = doubt("odd", spec("1", expected=(0, 1)), COLD)
    assert own and own.level is Level.PROBLEM and "expected of `expected`: 0 to 1" in own.message
    assert expectation("mat", spec(classes={"a": (1,)})) is None


@pytest.mark.parametrize(
    ("name", "units", "values"),
    [
        ("evi1", "1", np.linspace(-3, 4, 50)),
        ("ndvi_pc2", "1", np.linspace(-300, 400, 50)),
        ("temp", "1", np.linspace(-300, 400, 50)),
        ("map", "1", np.linspace(-3, 4, 50)),
        ("clay_ilr", "1", np.linspace(-3, 4, 50)),
        ("sand_trend", "%", np.linspace(-3, 4, 50)),
        ("precip_trend", "1", np.linspace(-3, 4, 50)),
        ("distance", "m", np.linspace(0, 40_000, 50)),
        ("alt_sd", "m", np.linspace(0, 400, 50)),
    ],
)
def test_a_name_that_means_something_else_is_no_matter(name, units, values):
    assert doubt(name, spec(units), values) is None


@pytest.mark.parametrize(
    ("name", "entries", "values", "sure"),
    [
        ("mat", {}, np.linspace(-80, 20, 50), True),
        ("mat", {}, np.linspace(-45, 20, 50), False),
        ("anything", {}, np.linspace(2700, 2900, 50), True),
        ("anything", {"reduce": "annual_sum"}, np.linspace(2700, 2900, 50), None),
        ("elevation", {"units": "m"}, np.linspace(0, 22_000, 50), True),
        ("alt", {"units": "m"}, np.linspace(0, 3000, 50), False),
        ("evi", {"units": "1"}, np.linspace(-3, 4, 50), False),
        ("ai", {"units": "1"}, np.linspace(0, 40, 50), False),
    ],
)
def test_only_the_impossible_is_a_problem(name, entries, values, sure):
    found = doubt(name, spec(**entries), values)
    assert (found and found.level is Level.PROBLEM) is sure


def test_hints_count_on_top_of_what_is_there():
    def hint(values, **entries):
        return doubt("mat", spec(**entries), values).message.partition("They look like ")[2].partition(".  If")[0]

    assert hint(COLD * 10, scale=0.1).startswith("tenths: `scale: 0.01` instead of what is there")
    assert hint(COLD + 273.15, scale=0.1).startswith("kelvin: `offset: -273.15` instead of what is there")
    assert hint(COLD + 273.15, offset=-3.15).startswith("kelvin: `offset: -276.3` instead of what is there")
    formula = source_spec(expression="a + b", units="degC")
    assert "change the expression to (a + b) - 273.15" in doubt("mat", formula, COLD + 273.15).message


def test_hints_give_what_is_possible():
    """Whatever the values, the keys that are offered would make them what is expected."""
    rng = np.random.default_rng(0)
    for name, units in (("mat", "degC"), ("ndvi", "1"), ("clay", "%"), ("elevation", "m"), ("tn", "g/kg"), ("x", "K")):
        expected = expectation(name, spec(units))
        for size in 10.0 ** np.arange(-3, 6):
            values = rng.normal(0.3, 1, 200) * size
            found = doubt(name, spec(units), values)
            if found and "They look like" in found.message:
                scale = re.search(r"`scale: ([^`]+)`", found.message)
                offset = re.search(r"`offset: ([^`]+)`", found.message)
                changed = values * float(scale[1] if scale else 1) + float(offset[1] if offset else 0)
                assert np.mean((changed < expected.low) | (changed > expected.high)) <= 0.01


def test_patches_lie_inside_and_apart(run: SmallRun):
    prepared = open_run(run.path)
    lattice = Lattice.over(prepared.grid)
    boxes = patches(prepared.grid, 5, lattice, lattice.inside)
    assert len(boxes) == 5 and all(box.shape == (8, 8) for box in boxes)
    assert len({box.affine for box in boxes}) == 5


def test_check_names_every_doubt_with_all_other_problems(run: SmallRun, gelisol):
    run.set("covariates.mat.offset", 273.15)
    run.set("covariates.ai.href", "gone.tif")
    result = gelisol("check", run.path)
    assert result.exit_code == 1
    assert result.stderr.startswith("2 problems with the input:")
    assert "covariates.ai.href: no such file" in result.stderr
    assert "They look like kelvin: `offset: 0` instead of what is there" in result.stderr
    run.set("covariates.mat.expected", [200, 320])
    run.set("covariates.ai.href", "ai.tif")
    assert gelisol("check", run.path).exit_code == 0


def test_what_could_be_opened_is_shown_beside_the_problems(run: SmallRun, gelisol, finished):
    run.set("covariates.ai.href", "gone.tif")
    result = gelisol("check", run.path, "--out", finished)
    assert result.exit_code == 1 and result.stderr.startswith("1 problem with the input:")
    rows = [line.split("│")[1].strip() for line in result.stdout.splitlines() if line.startswith("│")]
    assert rows[:3] == ["mat", "tn", "vegetation"] and {"cells", "train"} <= set(rows)
    assert {"ai", "memory"}.isdisjoint(rows)
    assert "40 sites, 80 layers" in result.stdout
    assert "done before; kept if nothing changes that it depends on" in result.stdout
    run.set("model.replicates", -5)  # what is no run file at all is a draft
    run.set("domain.boundary", "gone.geojson")
    result = gelisol("check", run.path)
    assert result.exit_code == 1 and result.stderr.startswith("3 problems with the input:")
    assert "Sources" in result.stdout and "Grid" not in result.stdout and "nan" not in result.stdout


@pytest.mark.parametrize(("side", "text"), [(1.0, "1000 = 1 cell"), (0.999, "1000 = 1 cell"), (2.5, "1000 = 2.5 cells"),
                                            (None, "1000")])  # fmt: skip
def test_a_pixel_is_one_cell_or_several(monkeypatch: pytest.MonkeyPatch, side: float | None, text: str):
    monkeypatch.setattr(check, "pixel_against_cell", lambda *_: side)
    summary: Any = SimpleNamespace(resolution=1000.0)
    source: Any = None
    assert check._pixel(source, summary, source if side is None else summary) == text


def notes(output: str) -> list[str]:
    return [line for line in output.splitlines() if ": class " in line]


def test_classes_of_polygons_that_are_nowhere_in_the_domain(run: SmallRun, gelisol):
    frame = gpd.read_file(run.data / "vegetation.gpkg")
    far, small = shapely.box(130, 50, 131, 51), shapely.box(121.5, 50.6, 121.51, 50.61)  # than a cell
    pd.concat([frame, gpd.GeoDataFrame({"code": [4, 5]}, geometry=[far, small], crs=4326)]).to_file(
        run.data / "vegetation.gpkg"
    )
    classes = {"forest": [1, 2], "grassland": [3], "far": [4], "pond": [5], "bog": [77, 78]}
    run.set("covariates.vegetation.classes", classes)
    result = gelisol("check", run.path)
    assert result.exit_code == 0, result.output
    assert notes(result.stdout) == [
        "vegetation: class far: none of its codes (4) occurs in the domain",
        "vegetation: class bog: none of its codes (77, 78) occurs in the domain",
    ]


def test_classes_of_rasters_that_are_nowhere_in_the_domain(run: SmallRun, gelisol):
    """One class in a single pixel, another in a corner that the outline cuts off, a third not at all."""
    codes = np.full((120, 200), 1, "uint8")
    codes[50, 120] = 2
    inside = small_run._grid(0.025)
    x, y = Transformer.from_crs(4326, small_run.CRS, always_xy=True).transform(*inside)
    codes[(x < -115_000) & (y > 90_000)] = 3
    small_run.write_geotiff(run.data / "cover.tif", 0.025, codes, "uint8", nodata=0)
    entry = {"href": "cover.tif", "classes": {"most": [1], "one": [2], "corner": [3], "none": [4]}}
    run.set("covariates.cover", entry)
    result = gelisol("check", run.path)
    assert result.exit_code == 0, result.output
    assert notes(result.stdout) == [
        f"cover: class {name}: none of its codes ({code}) occurs in the domain"
        for name, code in (("corner", 3), ("none", 4))
    ]
    with serving(folder=run.data) as web:  # over a network no more is read than the patches
        run.set("covariates.cover.href", f"{web.url}/cover.tif")
        result = gelisol("check", run.path)
    assert [n.partition(") ")[2] for n in notes(result.stdout)] == [
        "was met where it was looked at, in small patches"
    ] * 3


def test_damage_inside_a_file_is_found_before_the_run(run: SmallRun, gelisol):
    content = bytearray((run.data / "tn.tif").read_bytes())
    run.set("covariates.ai.href", "ai.tif")
    (run.data / "tn.tif").write_bytes(content[: len(content) // 2])
    result = gelisol("check", run.path)
    assert result.exit_code == 1 and "is truncated" in result.stderr


def test_maps_on_request(run: SmallRun, gelisol, tmp_path):
    result = gelisol("check", run.path, "--maps", tmp_path / "look")
    assert result.exit_code == 0, result.output
    assert {f.name for f in (tmp_path / "look").iterdir()} == {"mat.png", "ai.png", "tn.png", "vegetation.png"}
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in (tmp_path / "look").iterdir())


def test_what_was_seen(run: SmallRun):
    inspection = Inspection()
    open_run(run.path, inspect=inspection)
    low, middle, high = inspection.spread["tn"]
    assert 2 < low < middle < high < 6
    assert inspection.unlisted["vegetation"] == ("9",)
    assert inspection.known["mat"] == 1
