"""Profile table: from a user's table to one with default names, in the pipeline's units, one row per layer."""
