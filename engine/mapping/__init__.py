"""Mapping: from blocks of the cube to maps and sums over zones."""
