"""Training: from densities and covariates to a validated model."""
