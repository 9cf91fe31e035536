"""What each replicate learns where sites are not known exactly: other observations, other places."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moved:
    """Covariates of sites at other places, replicate by replicate.

    Attributes
    ----------
    rows : ndarray of int, shape (moved,)
        Which sites they are.
    x : ndarray of float32, shape (replicates, moved, columns)
        Their rows of the design matrix.
    """

    rows: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class Perturbed:
    """Errors in common and other places.

    Attributes
    ----------
    shared : ndarray or None, shape (replicates, sites)
        Added to the observations of the first output.
    moved : Moved or None
    """

    shared: np.ndarray | None = None
    moved: Moved | None = None

    @classmethod
    def of(cls, shared: np.ndarray | None, moved: Moved | None) -> "Perturbed":
        """Take the errors of the first of all outputs, shape (replicates, sites, outputs)."""
        return cls(None if shared is None else np.ascontiguousarray(shared[:, :, 0], "float64"), moved)

    def learnt(self, replicate: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the design matrix and the observations of a replicate."""
        if self.moved is not None:
            x = x.copy()
            x[self.moved.rows] = self.moved.x[replicate]
        return x, y if self.shared is None else y + self.shared[replicate]

    def name(self, replicate: int) -> str:
        """Return a name of what is another for a replicate, which does not depend on how many there are; or nothing."""
        parts = [] if self.shared is None else [self.shared[replicate]]
        if self.moved is not None:
            parts += [self.moved.rows.astype("int64"), np.ascontiguousarray(self.moved.x[replicate])]
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16] if parts else ""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what there is, by name, for `from_arrays`."""
        found = {} if self.shared is None else {"shared": self.shared}
        return found if self.moved is None else {**found, "moved_rows": self.moved.rows, "moved_x": self.moved.x}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Perturbed":
        """Make it of named arrays; others are passed over."""
        moved = Moved(arrays["moved_rows"], arrays["moved_x"]) if "moved_x" in arrays else None
        return cls(arrays.get("shared"), moved)
