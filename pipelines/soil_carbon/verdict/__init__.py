"""What the validation says of a run's totals."""
