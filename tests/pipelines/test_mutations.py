"""Input that is spoilt at random ends in a refusal or in what other programs read, never in something else."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import MUTATIONS, verdict
from small_run import SmallRun

EXAMPLES = 20
"""Of each kind; `benchmarks/spoilt.py` tries hundreds."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", MUTATIONS)
def test_spoilt_input_is_refused_or_read_rightly(kind, pristine: Path, tmp_path: Path, gelisol):
    seen = Counter()

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def spoil(data):
        _, change = data.draw(MUTATIONS[kind])
        folder = tmp_path / "spoilt"
        shutil.rmtree(folder, ignore_errors=True)
        run = SmallRun(Path(shutil.copytree(pristine, folder)))
        change(run)
        seen[verdict(run, gelisol("check", run.path), kind)] += 1

    spoil()
    assert sum(seen.values()) >= EXAMPLES and seen["refused"], seen
