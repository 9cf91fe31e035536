"""Means out of bag, worked by hand."""

import numpy as np

from engine.ensemble.out_of_bag import out_of_bag_means


def test_only_replicates_that_did_not_see_the_site_count():
    nan = np.nan
    out_of_bag = np.array([[4, nan, nan], [6, 5, nan]], "float32")
    coefficients = np.array([[[0, 1], [1, 2]], [[0, 1], [3, 3.0]]])
    # Site 0: the mean of 4 and 6; of 1 + 2 · 4 = 9 and 3 + 3 · 6 = 21. Site 1: 5, and 3 + 3 · 5. Site 2: in every bag.
    np.testing.assert_allclose(out_of_bag_means(out_of_bag, coefficients), [[5, 15], [5, 18], [nan, nan]])
