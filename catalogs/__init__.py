"""Domains and their sources as data: one folder each, with a run file, a boundary and where every layer comes from."""
