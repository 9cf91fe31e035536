from pathlib import Path

import numpy as np
import pytest

from pipelines.virtual import make
from pipelines.virtual.landscape import Landscape, make_landscape


@pytest.fixture(scope="session")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the small virtual region of the default seed."""
    return make(tmp_path_factory.mktemp("virtual") / "input").parent


@pytest.fixture(scope="session")
def landscape() -> Landscape:
    return make_landscape(np.random.SeedSequence(1))
