"""Families of models: how they are built, tuned, tried and stored."""
