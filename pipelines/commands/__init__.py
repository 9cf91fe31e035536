"""Verbs of the command line, besides `run`."""
