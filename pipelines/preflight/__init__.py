"""Everything that can be known before computing."""
