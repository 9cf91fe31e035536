"""The report: every figure and number from the artefacts of a run, in one file that needs nothing else."""

import base64
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_run import make_run
from PIL import Image

from engine.errors import InputError
from pipelines.soil_carbon.formatting import (
    depth_text,
    fixed,
    listed,
    number,
    p_text,
    p_value,
    plus_minus,
    signed,
    size,
    span,
    with_unit,
)
from pipelines.soil_carbon.report import inputs, page, tables, write_report
from pipelines.soil_carbon.report.page import LINKS
from pipelines.soil_carbon.results.read_results import read_results

VOID = {"meta", "img", "br", "wbr"}


class Page(HTMLParser):
    """Text, links and images of a page; refuses tags that do not match."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.images: list[bytes] = []
        self.downloads: list[tuple[str, bytes]] = []
        self.anchors: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        assert not self.tags

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.seen.add(tag)
        if tag not in VOID:
            self.tags.append(tag)
        if "href" in attributes:
            self.links.append(attributes["href"])
        if "download" in attributes:
            kind, data = attributes["href"].split(",")
            assert kind == "data:text/csv;charset=utf-8;base64"
            self.downloads.append((attributes["download"], base64.b64decode(data)))
        if "id" in attributes:
            self.anchors.add(attributes["id"])
        if tag == "img":
            kind, data = attributes["src"].split(",")
            assert kind == "data:image/png;base64"
            assert attributes["alt"]
            self.images.append(base64.b64decode(data))

    def handle_endtag(self, tag):
        assert self.tags.pop() == tag

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.words.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report") / "run"
    make_run(directory)
    write_report(directory)
    return directory


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sheet(html: str) -> Page:
    return Page(html)


def test_page_needs_no_other_file(run, html, sheet):
    assert not sheet.seen & {"script", "link", "iframe", "object"}
    assert not re.search(r"@import|url\(", html)
    links = {link for link in sheet.links if not link.startswith(("#", "data:", "https://doi.org/"))}
    figures = {path.relative_to(run).as_posix() for path in (run / "figures").iterdir()}
    assert links == {*(name for name in LINKS if not name.startswith("independent")), *figures}
    assert {link[1:] for link in sheet.links if link.startswith("#")} <= sheet.anchors


def test_every_figure_is_on_the_page_at_half_its_resolution(run, sheet):
    printed = sorted((run / "figures").glob("*.png"))
    assert len(sheet.images) == len(printed) == 14
    shown = sorted(Image.open(BytesIO(png)).size for png in sheet.images)
    assert shown == sorted(tuple(-(-n // 2) for n in Image.open(path).size) for path in printed)


def test_the_studys_figures_and_tables_keep_their_numbers(sheet):
    numbers = re.findall(r"(Figure|Table) (S?\d+)\.", sheet.text)
    main = [number for number in numbers if not number[1].startswith("S")]
    assert main == [("Figure", "1"), ("Table", "1"), ("Figure", "2"), ("Table", "2"), *(("Figure", n) for n in "3456")]
    beyond = [int(number[1:]) for kind, number in numbers if kind == "Table" and number.startswith("S")]
    assert beyond == list(range(1, len(beyond) + 1))
    assert {f"figure-{n}" for n in range(1, 7)} | {"table-1", "table-2"} <= sheet.anchors


def test_names_from_outside_are_escaped(sheet):
    assert "A made-up <region> & its soils" in sheet.text
    assert not sheet.seen & {"region", "measured", "look"}
    assert "no SOC <measured>" in sheet.text
    assert "warning: a <look> is asked for" in sheet.text


def test_made_up_data_say_so(sheet):
    assert sheet.text.count("Made-up data.") == 2
    assert "Nothing here describes a real place" in sheet.text


def test_stocks_and_headline_are_the_tables(run, sheet):
    stocks = pd.read_csv(run / "stocks.csv").set_index(["zone", "depth"])
    total = stocks.loc[("total", "0-30")]
    stated = f"{total['stock_pg']:.2f} Pg C (95 % range {total['stock_lower_pg']:.2f}–{total['stock_upper_pg']:.2f})"
    assert stated in sheet.text
    assert "in the top 30 cm." in sheet.text
    inside = pd.read_csv(run / "stocks_applicable.csv").set_index(["zone", "depth"])
    for zone in ("forest", "grassland", "wetland"):
        row = stocks.loc[(zone, "0-10")]
        assert f"{row['area_km2']:,.0f}" in sheet.text
        assert f"{100 * inside.loc[(zone, '0-10'), 'area_km2'] / row['area_km2']:.1f}" in sheet.text
    assert "depth regression both: replicates forest 0–10 cm 0.040 0.020 0.050" in sheet.text


def test_truth_stands_beside_the_estimate(sheet):
    assert "truth, same cells 0–10 cm" in sheet.text
    assert "inside the range" in sheet.text
    assert "Truth in Eq." in sheet.text


def test_scores_are_named_and_uncertainty_explained(run, sheet):
    validation = pd.read_csv(run / "validation.csv")
    rows = validation[(validation["family"] == "rf") & (validation["scheme"] == "knndm")]
    for score, name in (("r2_explained", "Explained-variance ratio Eq. 4"), ("r2", "1 − SSE/SST R²")):
        assert name in sheet.text
        assert f"{rows[score].mean():.2f} ± {rows[score].std():.2f}".replace("-", "−") in sheet.text
    for said in (
        "not a prediction interval",
        "1.96 · SD/√100",
        "flatter clustered ones",
        "the map is an extrapolation",
    ):
        assert said in sheet.text


def test_zones_are_tested_on_all_and_on_thinned_cells(sheet):
    assert "thinned to 150 km apart" in sheet.text
    assert "all (Kruskal–Wallis) 3,000 800.0 < 0.001 12 4.1 0.042" in sheet.text
    assert "forest – grassland 1,500, 1,000 20.0 < 0.001 b, c 8, 4 2.0 0.042 a, b" in sheet.text
    assert "forest – wetland 1,500, 500 −9.0 < 0.001 b, a not tested" in sheet.text


def test_regions_keep_the_digits_of_their_sources(run, sheet):
    density = pd.read_csv(run / "stocks.csv").query("zone == 'total' and depth == '0-30'")["socd_mean"].iloc[0]
    assert f"this run {density:.1f}" in sheet.text
    assert "Circumpolar Hugelius et al. 2014 13.0 10–25 217 202–232 95 % CI" in sheet.text
    assert "Qinghai–Tibet Ding et al. 2016 6.0 3.5–9 7.0 – 95 % CI" in sheet.text
    assert "https://doi.org/10.1126/sciadv.aaz5236" in sheet.links


def test_methods_state_what_was_run(sheet):
    facts = (
        "60 × 80 cells of 10,000 m", "max_features 0.33", "the seed 20250731", "numpy 2.4.6", "812 MB", "67 min",
        "4 repeats of 10-fold cross-validation with random folds and nearest-neighbour-distance-matched folds",
        "equal-area quadratic splines", "p < 0.05", "variance inflation factor below 10", "jackknife+-after-bootstrap",
        "The family with the lowest RMSE under random folds, RF, was mapped",
    )  # fmt: skip
    for fact in facts:
        assert fact in sheet.text
    assert "It takes 19 sites to certify a prediction interval of 95 %. In " in sheet.text
    assert "That errors fall with the density is not shown ; the differences in map C may mean nothing" in sheet.text
    assert "Total nitrogen 1 km 2020 g/kg Soil grids, version 2.0 (ISRIC), doi:10.5194/soil-7-217-2021" in sheet.text
    assert "read from tn.tif : 1 file, 3.20 MB, fingerprint ab12ab12ab12 CC-BY-4.0" in sheet.text
    assert "not described ( about ) read from tmp_*.nc" in sheet.text and "raw/tn.tif" not in sheet.text
    assert "[mat] 0.0083° (≈ 0.93 km) 2000–2020 °C" in sheet.text
    assert "1 file, 3.20 MB, fingerprint ab12ab12ab12" in sheet.text


def test_tables_are_files_in_the_page(run, sheet):
    files = dict(sheet.downloads)
    for key in ("stocks", "scores", "covariates", "zone_differences", "regions", "truth", "harmonisation", "tuning"):
        assert f"made-up_{'hyperparameters' if key == 'tuning' else key}.csv" in files
    stocks = pd.read_csv(BytesIO(files["made-up_stocks.csv"]))
    whole = pd.read_csv(run / "stocks.csv")
    np.testing.assert_array_equal(stocks["stock_pg"], whole["stock_pg"])
    assert (stocks["applicable_stock_pg"] <= stocks["stock_pg"]).all()
    scores = pd.read_csv(BytesIO(files["made-up_scores.csv"])).set_index(["scheme", "family"])
    rows = pd.read_csv(run / "validation.csv").query("family == 'rf' and scheme == 'random'")
    assert scores.loc[("random", "rf"), "rmse_mean"] == pytest.approx(rows["rmse"].mean())
    assert scores.loc[("random", "rf"), "rmse_sd"] == pytest.approx(rows["rmse"].std())
    assert "max_features" in scores.loc[("random", "rf"), "hyperparameters"]


def test_calibration_is_that_of_the_table(run, sheet):
    table = pd.read_csv(run / "calibration.csv").query("scheme == 'knndm' and by == 'all' and depth == '0-10'")
    own = table[table["method"] == "mapped"].set_index("nominal")
    shares = " ".join(
        ", ".join(fixed(100 * own.loc[level, side], 0) for side in ("below", "inside", "above"))
        for level in (0.8, 0.95)
    )
    crps = own["crps"].iloc[0]
    less = 1 - crps / table.loc[table["method"] == "sites_mean", "crps"].iloc[0]
    assert less > 0
    width, score = own.loc[0.95, ["width", "interval_score"]]
    row = f"the map {own['sites'].iloc[0]} {shares} {number(width)} {number(score)} {number(crps)} ({100 * less:.0f} %)"
    assert row in sheet.text
    assert "In no zone and no fifth of the sites is the coverage at 80 or 95 % off" in sheet.text
    assert {"calibration.csv", "pit.csv"} <= set(sheet.links)


def test_every_missing_artefact_is_named_with_its_stage(run, tmp_path):
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    (broken / "stocks_applicable.csv").unlink()
    (broken / "calibration.csv").unlink()
    (broken / "selection.csv").unlink()
    shutil.rmtree(broken / "truth.zarr")
    before = (broken / "report.html").read_bytes()
    with pytest.raises(InputError) as error:
        write_report(broken)
    assert len(error.value.problems) == 4
    assert re.search(r"stocks_applicable\.csv: missing; stage `map` makes it", str(error.value))
    assert re.search(r"calibration\.csv: missing; stage `train` makes it", str(error.value))
    assert re.search(r"selection\.csv: missing; stage `select` makes it", str(error.value))
    assert re.search(r"truth\.zarr: missing", str(error.value))
    assert (broken / "report.html").read_bytes() == before


def test_artefacts_of_an_earlier_version_are_named(run, tmp_path):
    old = tmp_path / "run"
    shutil.copytree(run, old)
    profiles = pd.read_parquet(old / "profiles.parquet").drop(columns=["rule"])
    profiles.to_parquet(old / "profiles.parquet")
    shutil.rmtree(old / "maps.zarr" / "pi_upper")
    with pytest.raises(InputError) as error:
        write_report(old)
    assert re.search(r"profiles\.parquet: of an earlier version, without rule; stage `profiles`", str(error.value))
    assert re.search(r"maps\.zarr: of an earlier version, without pi_upper; stage `map`", str(error.value))
    (old / "ensemble" / "manifest.json").write_text('{"family": "xgboost"}')
    with pytest.raises(InputError, match=r"manifest\.json: not of this version .* stage `train`"):
        write_report(old)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match="not the folder of a run"):
        write_report(tmp_path)


def test_a_failure_leaves_the_old_page(run, tmp_path, monkeypatch):
    directory = tmp_path / "run"
    shutil.copytree(run, directory)
    (directory / "report.html").write_text("old")
    drawn = {path.stem: path for path in (run / "figures").glob("*.png")}
    monkeypatch.setattr(page, "draw_figures", lambda *_: drawn)
    monkeypatch.setattr(page.inputs, "exclusions", lambda _: [{"depth": "0-10"}])
    with pytest.raises(Exception, match="reason"):
        write_report(directory)
    assert (directory / "report.html").read_text() == "old"
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def test_one_depth_without_zones_truth_or_coverage(tmp_path):
    directory = tmp_path / "run"
    make_run(
        directory, truth=False, depths=((0, 100),), labels=("0-100",), resolution=500, zones=False, coverage=0,
        families=("svm",), schemes=("random",),
    )  # fmt: skip
    importance = pd.read_csv(directory / "importance.csv")
    importance.assign(gain_percent=np.nan, gain_sd=np.nan).to_csv(directory / "importance.csv", index=False)
    (directory / "tuning.csv").write_text("family\n")
    sheet = Page(write_report(directory).read_text(encoding="utf-8"))
    assert len(sheet.images) == 8  # figures 1 to 5, screening, scores, applicability
    assert "Made-up" not in sheet.text.replace("A made-up", "")
    for absent in ("Against the truth", "regressed on that", "Kruskal–Wallis test over all zones", "Figure 6."):
        assert absent not in sheet.text
    assert "This run has 0–100 cm only, so that there is nothing to compare" in sheet.text
    assert "The family has no measure of gain" in sheet.text
    assert not {"coverage.csv", "calibration.csv", "pit.csv"} & set(sheet.links)
    total = pd.read_csv(directory / "stocks.csv").set_index("zone").loc["total", "stock_pg"]
    assert f"{total * 1000:.2f} Tg C" in sheet.text  # too little for Pg


def test_like_exclusions_count_together():
    profiles = pd.DataFrame(
        [
            ("0-10", ""),
            ("0-10", "gap 5–10 cm; no SOC in layer 10–20 cm"),
            ("0-30", "profile ends at 23 cm"),
            ("0-30", "gap 5–10 cm"),
            ("0-30", "profile ends at 27.5 cm; gap 5–10 cm"),
        ],
        columns=["depth", "excluded"],
    )
    assert inputs.exclusions(profiles) == [
        {"depth": "0-10", "reason": "gap … cm", "profiles": 1},
        {"depth": "0-30", "reason": "profile ends at … cm", "profiles": 2},
        {"depth": "0-30", "reason": "gap … cm", "profiles": 1},
    ]


def test_rules_of_harmonisation_are_counted():
    profiles = pd.DataFrame({"depth": ["0-10"] * 3 + ["0-30"] * 2, "rule": ["exact", "spline", "exact", "", "split"]})
    first, second = inputs.harmonisation(profiles)
    assert first == {"depth": "0-10", "exact": 2, "spline": 1, "split": 0, "given": 0, "excluded": 0}
    assert second == {"depth": "0-30", "exact": 0, "spline": 0, "split": 1, "given": 0, "excluded": 1}


@pytest.mark.parametrize(
    ("source", "grid"),
    [
        ({"resolution": None}, "polygons"),
        ({"resolution": 500.0, "crs_unit": "metre"}, "500 m"),
        ({"resolution": 5000.0, "crs_unit": "metre"}, "5 km"),
        ({"resolution": 1 / 6, "crs_unit": "degree"}, "0.17° (≈ 19 km)"),
        ({}, "–"),
    ],
)
def test_native_grids(source, grid):
    assert inputs.native_grid(source) == grid


def test_scores_are_averaged_over_repeats_and_the_best_is_marked(run):
    results = read_results(run)
    one = {"scheme": "random", "r2": 0.4, "mae": 1, "bias": 0, "ccc": 0.5, "r2_explained": 0.4}
    table = pd.DataFrame([one | {"family": f, "rmse": r} for f, r in (("rf", 1.0), ("rf", 2.0), ("svm", 1.2))])
    rows = tables.family_scores(replace(results, validation=table))["random"]
    assert [row["family"] for row in rows] == ["rf", "svm"]
    assert rows[0]["rmse"] == pytest.approx((1.5, np.sqrt(0.5)))
    assert [row["best"] for row in rows] == [False, True]
    assert [row["mapped"] for row in rows] == [True, False]


def test_hyperparameters_are_as_the_grid_lists_them(run):
    (rf, _) = tables.hyperparameters(read_results(run))
    chosen = {"max_features": 0.5, "min_samples_leaf": 3}
    assert rf == {"family": "rf", "searched": True, "chosen": chosen, "tried": 2} | {
        "rmse": pytest.approx(1.4), "rmse_sd": pytest.approx(0.2),
    }  # fmt: skip
    assert isinstance(rf["chosen"]["min_samples_leaf"], int)


def test_groups_keep_the_order_of_their_rows():
    rows = [{"depth": d, "n": n} for d, n in (("0-30", 1), ("0-100", 2), ("0-30", 3))]
    assert [(key, [row["n"] for row in group]) for key, group in tables.grouped(rows, "depth")] == [
        ("0-30", [1, 3]),
        ("0-100", [2]),
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(0.012345), "0.0123"),
        (number(-3.14159), "−3.14"),
        (number(123456.7), "123,457"),
        (number(7), "7"),
        (number(0.0), "0"),
        (number(float("nan")), "–"),
        (number(None), "–"),
        (span(9.41, 10.24), "9.4–10.2"),
        (span(float("nan"), 1), "–"),
        (plus_minus(9.8, 2.514), "9.80 ± 2.51"),
        (plus_minus(0.466, float("nan"), 2), "0.47"),
        (signed(-0.304), "−0.30"),
        (signed(1.2, space=" "), "+ 1.20"),
        (signed(-0.001), "+0.00"),
        (fixed(-0.001), "0.00"),
        (fixed(-0.016), "−0.02"),
        (listed(["a"]), "a"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (with_unit("MAT", "degC"), "MAT, °C"),
        (with_unit("NDVI", "1"), "NDVI"),
        (p_text(1e-9), "p < 0.001"),
        (p_text(0.0213), "p = 0.021"),
        (p_value(float("nan")), "–"),
        (depth_text("0-30"), "0–30 cm"),
        (p_value(1e-9), "< 0.001"),
        (p_value(0.0213), "0.021"),
        (size(812_000_000), "812 MB"),
        (size(3_200), "3.20 kB"),
    ],
)
def test_numbers_as_people_write_them(written, expected):
    assert written == expected
