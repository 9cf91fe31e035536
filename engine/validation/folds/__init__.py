"""Fold schemes: which sites are held out together, and so what a cross-validation measures."""

from engine.grid.sphere import to_sphere
from engine.validation.folds.knndm import KnndmFolds, knndm_folds
from engine.validation.folds.repeats import further_folds, repeated_folds
from engine.validation.folds.schemes import block_folds, default_block_size_km, random_folds, squares
from engine.validation.folds.splitters import SPLITTERS, Places, find_splitter

__all__ = [
    "SPLITTERS",
    "KnndmFolds",
    "Places",
    "block_folds",
    "default_block_size_km",
    "find_splitter",
    "further_folds",
    "knndm_folds",
    "random_folds",
    "repeated_folds",
    "squares",
    "to_sphere",
]
