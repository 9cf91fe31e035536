"""What the stage says of depths whose sites are too few for the level of the prediction interval."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.soil_carbon.model.joint_errors import uncertified

RESIDUAL = np.zeros((40, 3))
RESIDUAL[19:, 1] = RESIDUAL[18:, 2] = np.nan


def found(level, local=True):
    config = SimpleNamespace(
        model=SimpleNamespace(local_intervals=local, interval=level), depth_labels=("0-10", "0-30", "0-50")
    )
    return [str(finding) for finding in uncertified(config, SimpleNamespace(residual=RESIDUAL))]


def test_a_depth_with_too_few_sites_is_named_with_how_many_it_takes():
    [text] = found(0.95)
    assert text.startswith("warning: 0-50 cm: 18 sites cannot certify a prediction interval of 95 %, which takes 19;")
    assert "are open in all cells" in text


@pytest.mark.parametrize(("level", "depths"), [(0.9, 0), (0.96, 2), (0.99, 3)])
def test_the_level_decides(level, depths):
    assert len(found(level)) == depths


def test_other_intervals_are_not_spoken_of():
    assert found(0.99, local=False) == []
