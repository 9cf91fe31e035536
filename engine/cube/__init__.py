"""The covariate cube: from sources to columns of a model."""
