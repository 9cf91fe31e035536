"""From covariates to the design matrix."""

import numpy as np

from engine.cube.features import Features
from engine.sources.entry import source_spec

SPECS = {
    "mat": source_spec(href="x", units="degC", group="climate", label="Mean annual temperature"),
    "vegetation": source_spec(
        href="x", classes={"forest": (7, 8), "wetland": (1,)}, group="vegetation", label="Plants"
    ),
    "tn": source_spec(href="x", units="g/kg", group="soil"),
}
FEATURES = Features.of(SPECS)


def test_one_column_per_number_and_per_class():
    assert FEATURES.names == ["mat", "vegetation=forest", "vegetation=wetland", "tn"]
    assert FEATURES.covariates == ("mat", "vegetation", "tn")
    forest = FEATURES.columns[1]
    assert (forest.covariate, forest.class_code, forest.units, forest.group) == ("vegetation", 1, "1", "vegetation")
    assert [c.label for c in FEATURES.columns] == ["Mean annual temperature", "Plants: forest", "Plants: wetland", "tn"]


def test_the_design_matrix():
    x = FEATURES.matrix(
        {"mat": np.array([-1.5, 2]), "vegetation": np.array([2, 1], "uint8"), "tn": np.array([3, 4], "float32")}
    )
    assert x.tolist() == [[-1.5, 0, 1, 3], [2, 1, 0, 4]]
    assert x.dtype == np.float32 and x.flags.c_contiguous


def test_complete_where_nothing_is_missing():
    values = {
        "mat": np.array([[1, np.nan], [1, np.inf]], "float32"),
        "vegetation": np.array([[1, 1], [0, 2]], "uint8"),
        "tn": np.zeros((2, 2), "float32"),
    }
    assert FEATURES.complete(values).tolist() == [[True, False], [False, False]]
    values["mat"][:] = 1
    assert FEATURES.complete(values).tolist() == [[True, True], [False, True]]
