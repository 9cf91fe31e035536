"""Arrays as the bytes of NumPy's own files; pickles are never read."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np


def npy(values: np.ndarray) -> bytes:
    """Serialise an array as a `.npy` file."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Serialise arrays, or values that NumPy makes arrays of, as a `.npz` file."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def from_npy(content: bytes) -> np.ndarray:
    """Read the array of a `.npy` file; raises `ValueError` or `EOFError` for anything else."""
    values: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return values


def from_npz(content: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of a `.npz` file; raises `ValueError`, `EOFError`, `KeyError` or `zipfile.BadZipFile`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
