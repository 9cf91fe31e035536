"""Bootstrap replicates and what they say together."""
