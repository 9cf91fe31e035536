"""How far predictions can be trusted: cross-validation, coverage, applicability."""
