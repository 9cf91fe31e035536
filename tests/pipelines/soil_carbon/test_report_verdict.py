"""The verdict governs the headline: on the page, in `summary.json`, at the end of a command and in `status`."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from made_up_run import make_run
from typer.testing import CliRunner

from engine.ledger import Entry, Ledger
from pipelines.cli import app
from pipelines.headline import SUMMARY, read_headline
from pipelines.soil_carbon.report.page import NO_BREAK, render
from pipelines.soil_carbon.results import read_results
from pipelines.soil_carbon.summary import write_summary
from pipelines.status import read_status


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
