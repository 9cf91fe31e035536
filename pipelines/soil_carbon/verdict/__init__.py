"""Verdict of the validation on a run's totals."""
