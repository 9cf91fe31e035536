"""A search runs on the client that it is given, whichever is the current one, and if none is."""

import subprocess
import sys
from pathlib import Path

import engine

SEARCH = """
import numpy as np
from distributed import Client
from engine.models.families import Family
from engine.models.tuning import tune

rng = np.random.default_rng(1)
x, y = rng.normal(size=(30, 2)).astype("float32"), rng.normal(size=30)
family = Family("ridge", "sklearn.linear_model.Ridge", {}, {"alpha": (1.0, 2.0)})
with Client(processes=False, n_workers=1, dashboard_address=None, set_as_default=False) as client:
    print(tune(client, family, x, y, 2, np.random.SeedSequence(1)).parameters)
"""


def test_a_search_on_a_client_that_is_not_the_current_one():
    done = subprocess.run(
        [sys.executable, "-c", SEARCH], capture_output=True, text=True, check=False, timeout=120,
        cwd=Path(engine.__file__).parents[1],
    )  # fmt: skip
    assert done.stdout in ("{'alpha': 1.0}\n", "{'alpha': 2.0}\n"), done.stderr
