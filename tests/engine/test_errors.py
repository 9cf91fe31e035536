"""What errors say, and that they say it after a way through a worker."""

import pickle

import pytest

from engine.errors import Finding, FitError, GelisolError, InputError, Level, RunError, Where

FINDING = Where("covariates.mat.href", "mat.tif").problem("declares no CRS")


@pytest.mark.parametrize(
    "error",
    [
        InputError("no such file"),
        InputError([FINDING, "no such file"]),
        FitError("rf cannot be fitted to 3 sites"),
        RunError(FINDING),
        GelisolError("gone"),
    ],
    ids=repr,
)
def test_errors_arrive_whole(error: GelisolError):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.problems == error.problems
    assert all(isinstance(problem, Finding) for problem in again.problems)


def test_findings_are_printed_with_their_key_and_level():
    assert str(FINDING) == "covariates.mat.href: mat.tif: declares no CRS"
    assert str(FINDING.moved("covariates.mat", "zones")) == "zones.href: mat.tif: declares no CRS"
    assert FINDING.moved("covariates.ma", "zones") == FINDING
    assert str(Finding.warning("odd").of("map")) == "map: warning: odd" and Finding.note("so").level is Level.NOTE
    assert str(Finding("bad", "depths", place="run.yaml, line 3")) == "run.yaml, line 3: bad"
