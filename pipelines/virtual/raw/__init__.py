"""The raw files of the virtual region, each in the grid, encoding and file layout of the source it stands for."""
