"""A wheel carries the versions that the tests run with, as the extra `locked`."""

import re
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
BUILD = "import sys, setuptools.build_meta as b; print(b.prepare_metadata_for_build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def extra(tmp_path_factory: pytest.TempPathFactory) -> list[Requirement]:
    """What `gelisol[locked]` asks for besides what every installation needs."""
    folder = tmp_path_factory.mktemp("metadata")
    done = subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metadata = message_from_string((folder / done.stdout.split()[-1] / "METADATA").read_text(encoding="utf-8"))
    asked = map(Requirement, metadata.get_all("Requires-Dist"))
    return [r for r in asked if r.marker and 'extra == "locked"' in str(r.marker)]


def test_every_pin_of_the_lock_is_in_it(extra: list[Requirement]):
    lock = (ROOT / "deploy" / "docker" / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ]+)", lock, re.MULTILINE)
    assert [(r.name, str(r.specifier)) for r in extra] == [(name, f"=={version}") for name, version in pins]
    assert len(pins) > 100


def test_markers_of_the_lock_hold(extra: list[Requirement]):
    """Of two pins of one package, one holds on each Python."""
    for python in ("3.11.9", "3.12.1", "3.13.0"):
        environment = {"extra": "locked", "python_full_version": python, "python_version": python[:4]}
        chosen = [r.name for r in extra if r.marker and r.marker.evaluate(environment)]
        assert len(chosen) == len(set(chosen)) and {"numpy", "xgboost-cpu", "rasterio"} <= set(chosen)
        assert not any(r.marker.evaluate({**environment, "extra": ""}) for r in extra if r.marker)
