"""A run: its stages, their keys and what is recorded of them."""
