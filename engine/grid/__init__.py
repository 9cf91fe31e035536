"""The target grid: cells, blocks and their sizes, distances on the sphere."""
