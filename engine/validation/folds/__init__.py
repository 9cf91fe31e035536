"""Fold schemes: which sites are held out together, and so what a cross-validation says."""

from engine.grid.sphere import to_sphere
from engine.validation.folds.knndm import KnndmFolds, knndm_folds
from engine.validation.folds.repeats import Places, further_folds, repeated_folds
from engine.validation.folds.schemes import block_folds, default_block_size_km, random_folds, squares

__all__ = [
    "KnndmFolds",
    "Places",
    "block_folds",
    "default_block_size_km",
    "further_folds",
    "knndm_folds",
    "random_folds",
    "repeated_folds",
    "squares",
    "to_sphere",
]
