"""Bootstrap replicates and the statistics over them."""
