"""Arrays as the bytes of NumPy's own files; nothing is ever read that would be a pickle."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np


def npy(values: np.ndarray) -> bytes:
    """An array as a `.npy` file."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Arrays, or what NumPy makes arrays of, as a `.npz` file."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def from_npy(content: bytes) -> np.ndarray:
    """The array of a `.npy` file; a `ValueError` or `EOFError` if it is none."""
    values: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return values


def from_npz(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file; a `ValueError`, `EOFError`, `KeyError` or `zipfile.BadZipFile` if it is none."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
