"""Puts this folder on the path: tests below it share `made_up_run` and `made_up_tables`."""
