"""The verdict governs the headline: on the page, in `summary.json`, at the end of a command and in `status`."""

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from made_up_run import make_run
from typer.testing import CliRunner

from engine.execution.ledger import Entry, Ledger
from pipelines.cli import app
from pipelines.commands.status import read_status
from pipelines.soil_carbon.report.page import NO_BREAK, render
from pipelines.soil_carbon.results.headline import SUMMARY, read_headline
from pipelines.soil_carbon.results.read_results import read_results
from pipelines.soil_carbon.verdict.summary import write_summary


def spoil(run: Path, **columns: float) -> None:
    """Set columns of `skill.csv` under kNNDM."""
    table = pd.read_csv(run / "skill.csv")
    for name, value in columns.items():
        table.loc[table["scheme"] == "knndm", name] = value
    table.to_csv(run / "skill.csv", index=False)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up run that its validation supports."""
    run = tmp_path_factory.mktemp("sound") / "run"
    make_run(run, truth=False)
    inside = pd.read_csv(run / "stocks.csv")
    inside.to_csv(run / "stocks_applicable.csv", index=False)  # all of it within the area of applicability
    write_summary(read_results(run))
    return run


@pytest.fixture(scope="module")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up run with skill under random folds and none under kNNDM."""
    run = tmp_path_factory.mktemp("denied") / "run"
    make_run(run, truth=False)
    spoil(run, skill=-0.09, lower=-0.2, upper=0.01)
    write_summary(read_results(run))
    return run


def page_of(run: Path) -> str:
    """The page without its pictures."""
    picture = {"uri": "data:,", "width": 1, "png": "", "pdf": ""}
    return render(read_results(run), [], defaultdict(lambda: picture))


def summary_of(run: Path) -> dict:
    return json.loads((run / SUMMARY).read_text(encoding="utf-8"))


def test_summary_of_a_sound_run(sound: Path):
    summary, stocks = summary_of(sound), pd.read_csv(sound / "stocks.csv").set_index(["zone", "depth"])
    assert summary["verdict"] == "supported" and summary["interval"] == {"level": 0.95, "holds": ["replicates"]}
    assert {reason["code"] for reason in summary["reasons"]} == {"skill"}
    for depth, found in summary["depths"].items():
        row = stocks.loc["total", depth]
        assert [found["total"], *found["interval"]] == row[["stock_pg", "stock_lower_pg", "stock_upper_pg"]].tolist()
        assert found["verdict"] == "supported"
    assert summary["evidence"]["outside"] == 0
    profiles = pd.read_parquet(sound / "profiles.parquet").query("depth == '0-10' and not_modelled == ''")
    assert summary["depths"]["0-10"]["sites_mean"] == pytest.approx(profiles["socd"].mean())
    assert "NaN" not in (sound / SUMMARY).read_text() and "Infinity" not in (sound / SUMMARY).read_text()


def test_the_page_draws_the_conclusion(denied: Path):
    page = page_of(denied).replace(NO_BREAK, " ")
    lead, verdict = page.index('<p class="lead">'), page.index('<div class="verdict none"')
    headline = page[lead:verdict]
    assert "Pg C" in headline and "<b>" not in headline
    assert headline.count("area × mean of the sites:") == 2
    assert re.fullmatch(r"\s*", headline.partition("</p>")[2])  # the first line under the headline
    assert (
        "<b>Verdict: none.</b> The validation shows no skill over the mean of the sites: the total is the area" in page
    )
    assert page.count('<li class="unsupported">') == 2 and 'class="whole"' not in page
    assert "By fixed rules on the validation the totals are not supported." in page


def test_the_number_of_a_supported_run_is_bold(sound: Path):
    page = page_of(sound).replace(NO_BREAK, " ")
    assert re.search(r'<p class="lead">[^<]*\s<b>[\d.]+\s(P|T)g\sC</b>', page)
    assert '<div class="verdict supported"' in page and "area × mean of the sites:" not in page


def test_totals_of_all_depths_are_in_one_unit(denied: Path, tmp_path: Path):
    """That of the largest, though the first alone would be in a smaller one."""
    content = summary_of(denied)
    for found, total in zip(content["depths"].values(), (0.0456, 1.23), strict=False):
        found |= {"total": total, "interval": [0.9 * total, 1.1 * total], "area_times_sites_mean": total}
    (tmp_path / SUMMARY).write_text(json.dumps(content), encoding="utf-8")
    headline = read_headline(tmp_path)
    assert headline and headline.totals[0].startswith("0–10 cm: 0.0456 Pg C (95 % range 0.0410–0.0502)")
    assert headline.totals[1].startswith("0–30 cm: 1.23 Pg C") and not any("Tg" in line for line in headline.totals)


def test_status_and_terminal_say_it_too(denied: Path):
    Ledger(denied).finish("report", Entry(key="", parts={}, digests={}))
    headline = read_headline(denied)
    assert headline and read_status(denied).headline == headline
    shown = CliRunner().invoke(app, ["status", str(denied)]).output
    total = summary_of(denied)["depths"]["0-10"]
    assert shown.index("verdict: none. The validation shows no skill") < shown.index("0–10 cm: ")
    assert f"area × mean of the sites: {total['area_times_sites_mean']:.2f} Pg C" in shown
    assert "R² over the mean of the training sites is −0.09" in shown
    as_json = json.loads(CliRunner().invoke(app, ["status", str(denied), "--json"]).output)
    assert as_json["headline"]["verdict"] == "none"


@pytest.mark.parametrize(
    ("columns", "level", "code"),
    [
        ({"skill": 0.05, "lower": 0.01}, "weak", "little_skill"),
        ({"lower": float("-inf"), "upper": float("inf")}, "none", "skill_within_noise"),
        ({"skill": float("nan")}, "none", "not_validated"),
    ],
)
def test_what_the_tables_say_decides(tmp_path: Path, columns: dict[str, float], level: str, code: str):
    make_run(tmp_path / "run", truth=False)
    spoil(tmp_path / "run", **columns)
    write_summary(read_results(tmp_path / "run"))
    summary = summary_of(tmp_path / "run")
    assert summary["verdict"] == level
    assert code in {reason["code"] for reason in summary["reasons"]}


def test_a_damaged_summary_is_a_message(denied: Path, tmp_path: Path):
    (tmp_path / SUMMARY).write_text("{")
    (tmp_path / "ledger.json").write_text((denied / "ledger.json").read_text())
    result = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == 1 and "`gelisol report` writes it anew" in result.output


def test_independent_sites_have_a_section_and_a_say(denied: Path, tmp_path: Path):
    run = Path(shutil.copytree(denied, tmp_path / "run"))
    text = (run / "run.yaml").read_text().replace("coverage: 1", "coverage: 1\n    independent: other.csv")
    (run / "run.yaml").write_text(text)
    scores = {"training_mean": 4.2, "n": 47, "groups": 10.4, "observed_mean": 11.6, "predicted_mean": 16.7, "bias": 5.1,
              "bias_se": 1.1, "bias_of_mean": 4.0, "r": -0.02, "rmse": 11.7, "rmse_of_mean": 9.0, "mae": 9.0,
              "ccc": -0.01, "skill": -0.7, "lower": -1.4, "upper": -0.2, "covered_0.5": 0.3,
              "covered_0.95": 0.9}  # fmt: skip
    nothing = {"depth": "0-30", "training_mean": 9.1, "n": 0}
    pd.DataFrame([{"depth": "0-10", **scores}, nothing]).to_csv(run / "independent.csv", index=False)
    sites = pd.DataFrame({"site": ["A", "B"], "lon": 121.0, "lat": 50.0, "depth": "0-10", "observed": [3.0, 9.0],
                          "left_out": ["", "outside the domain"], "predicted": [5.0, None], "lower": [1.0, None],
                          "upper": [9.0, None]})  # fmt: skip
    sites.to_parquet(run / "independent_sites.parquet")
    page = page_of(run).replace(NO_BREAK, " ")
    section = page[page.index('<h2 id="independent">') : page.index('<h2 id="drivers">')]
    assert "1 outside the domain" in section and "5.10 ± 1.10" in section and "30, 90" in section
    assert "no site has this depth" in section
    assert "at 47 independent sites: the map is 5.10 kg C/m² too high on average, where 11.6 were observed" in page
    assert "beyond chance: that mean does better" in page
    assert 'href="#independent"' not in page_of(denied)
