"""The verdict on regions of which it is known whether the covariates hold information, by whole runs."""

import json
from pathlib import Path

import pytest

from pipelines.soil_carbon.results.read_results import read_results
from pipelines.soil_carbon.verdict.summary import write_summary
from pipelines.virtual.trial_region import TrialRegion, write_region

SETTINGS = ("model.replicates=12", "model.validation.repeats=2", "model.validation.folds=8")


def mapped(folder: Path, region: TrialRegion, gelisol, on_scheduler: list[str], until: str = "map") -> tuple[Path, str]:
    """The results folder, and what the terminal said."""
    run_file = write_region(folder, region)
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    result = gelisol("run", run_file, "--out", folder / "out", "--until", until, *settings, *on_scheduler)
    assert result.exit_code == 0, result.output
    return folder / "out", " ".join(result.output.split())


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, gelisol, on_scheduler) -> tuple[Path, str]:
    """Covariates that know nothing, and clustered sites: a whole run with its report."""
    region = TrialRegion(seed=3, information=0.0, sites=90, clusters=9)
    return mapped(tmp_path_factory.mktemp("noise"), region, gelisol, on_scheduler, "report")


def test_covariates_without_information_end_with_none(noise):
    out, said = noise
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["verdict"] == "none"
    assert {"no_skill", "skill_within_noise"} & {reason["code"] for reason in summary["reasons"]}
    assert "verdict: none. The validation shows no skill over the mean of the sites" in said
    assert "area × mean of the sites:" in said


def test_no_place_that_states_the_total_is_without_it(noise, gelisol):
    out, _ = noise
    page = (out / "report.html").read_text(encoding="utf-8")
    headline = page[page.index('<p class="lead">') : page.index('<div class="verdict none"')]
    assert "<b>" not in headline and "area × mean of the sites" in headline
    assert "<b>Verdict: none.</b>" in page
    assert "verdict: none" in json.loads((out / "stac" / "collection.json").read_text())["description"]
    assert "verdict: none" in gelisol("status", out).output


def test_a_map_made_anew_has_no_headline_of_the_one_before(noise, gelisol, on_scheduler):
    out, _ = noise
    settings = [part for setting in (*SETTINGS, "model.interval=0.9") for part in ("--set", setting)]
    result = gelisol("run", out.parent / "run.yaml", "--out", out, "--until", "map", *settings, *on_scheduler)
    assert result.exit_code == 0, result.output
    assert "verdict" not in result.output and not (out / "summary.json").exists()


def test_covariates_that_explain_half_are_not_denied(tmp_path: Path, gelisol, on_scheduler):
    out, _ = mapped(tmp_path, TrialRegion(seed=1, information=0.6, sites=120), gelisol, on_scheduler)
    verdict = write_summary(read_results(out))
    assert verdict.level in ("supported", "weak")
    assert "skill" in {reason.code for reason in verdict.reasons}
