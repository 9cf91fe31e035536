"""Validation of predictions: cross-validation, coverage, applicability."""
