"""From densities and covariates to a trained and validated model."""
