"""The page on the study's protocol gives keys that a run file has."""

import re
from pathlib import Path

import yaml

from pipelines.runfile.model_section import Model
from pipelines.runfile.observations_section import Observations

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "study-protocol.md"


def test_its_keys_are_those_of_the_run_file():
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    keys = yaml.safe_load(block)
    observations = Observations(table="profiles.csv", **keys["observations"])
    model = Model(**keys["model"])
    assert observations.harmonise == "exact" and not observations.errors.draw
    assert not model.residual_error and not model.local_intervals and model.validation.tuning == "once"
