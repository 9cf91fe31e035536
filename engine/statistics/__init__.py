"""Statistics of values at points and in groups."""
