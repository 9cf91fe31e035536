"""What an ensemble says of its own sites: by the replicates that a site took no part in."""

import numpy as np


def out_of_bag_means(out_of_bag: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return the mean prediction of every output at the sites.

    Parameters
    ----------
    out_of_bag : ndarray, shape (replicates, sites)
        Predictions of the first output; NaN where the site is in the bag.
    coefficients : ndarray, shape (replicates, outputs, 2)
        Each replicate's intercept and slope of every output on the first.

    Returns
    -------
    ndarray of float64, shape (sites, outputs)
        NaN where a site was in every bag.
    """
    first = np.asarray(out_of_bag, "float64")
    known = np.isfinite(first)
    count = known.sum(axis=0)
    outputs = []
    for intercept, slope in np.moveaxis(coefficients, 1, 0).transpose(0, 2, 1):
        each = np.where(known, intercept[:, None] + slope[:, None] * first, 0.0)
        outputs.append(np.where(count > 0, each.sum(axis=0) / np.maximum(count, 1), np.nan))
    return np.stack(outputs, axis=1)


def mean_out_of_bag(values: np.ndarray, out_of_bag: np.ndarray) -> np.ndarray:
    """Average values over the replicates that did not see the site.

    Parameters
    ----------
    values : ndarray, shape (replicates, sites, outputs)
    out_of_bag : ndarray, shape (replicates, sites)
        NaN where the site is in the bag.

    Returns
    -------
    ndarray of float64, shape (sites, outputs)
        NaN where a site was in every bag.
    """
    weight = np.isfinite(out_of_bag).astype("float64")
    count = weight.sum(axis=0)
    sums = np.einsum("rs,rso->so", weight, values)
    return np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], np.nan)
