"""Random fields on a lattice: Gaussian, correlated, and the same whatever part of them is asked for.

White noise is drawn tile by tile, every tile from a stream of its own, and smoothed by a kernel of limited reach, so
that a node's value depends on the noise around it alone. Nodes lie at multiples of the spacing on the grid's plane, not
at the corner of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.signal import fftconvolve

from engine.seeds import Use

TILE = 64
"""Nodes per side of a tile."""
HALO = TILE // 2
"""Nodes beyond a tile whose noise it feels."""
NODES_PER_RANGE = 10
"""Between neighbouring nodes, the correlation of a Matérn field (ν = 3/2) is then 0.92."""
_FEW_NODES = 16
"""Of a footprint, up to which the kernel is shifted and added, node by node."""
_DECAY = 4.743865
"""(1 + a) exp(−a) is 0.05 at this a: where the practical range lies."""


def correlation(distance: np.ndarray) -> np.ndarray:
    """Return the Matérn correlation, ν = 3/2, at a distance in practical ranges (0.05 at 1)."""
    scaled = _DECAY * distance
    return np.asarray((1 + scaled) * np.exp(-scaled))


@dataclass(frozen=True)
class Window:
    """A rectangle of nodes.

    Attributes
    ----------
    row, column : int
        The first node: its coordinates in units of the spacing, rows along y.
    shape : (int, int)
    """

    row: int
    column: int
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self.shape[0] * self.shape[1]

    def union(self, other: "Window") -> "Window":
        """Return the smallest window that holds both."""
        row, column = min(self.row, other.row), min(self.column, other.column)
        ends = (max(w.row + w.shape[0] for w in (self, other)), max(w.column + w.shape[1] for w in (self, other)))
        return Window(row, column, (ends[0] - row, ends[1] - column))

    def place(self, other: "Window") -> tuple[slice, slice]:
        """Return the place of another window in this one, which holds it."""
        row, column = other.row - self.row, other.column - self.column
        return slice(row, row + other.shape[0]), slice(column, column + other.shape[1])


@dataclass(frozen=True)
class Lattice:
    """Nodes at multiples of a spacing.

    Attributes
    ----------
    spacing : float
        In the units of the plane's coordinates.
    range_nodes : float
        Practical range of the field, in spacings.
    """

    spacing: float
    range_nodes: float = NODES_PER_RANGE

    def around(self, x: np.ndarray, y: np.ndarray) -> Window:
        """Return the window of the nodes that places need; not empty."""
        first = [int(np.floor(values.min() / self.spacing)) for values in (y, x)]
        last = [int(np.floor(values.max() / self.spacing)) + 1 for values in (y, x)]
        return Window(first[0], first[1], (last[0] - first[0] + 1, last[1] - first[1] + 1))

    def weights(self, x: np.ndarray, y: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return bilinear weights of places.

        Returns
        -------
        nodes : ndarray of int, shape (4, n)
            Flat places in the window.
        weights : ndarray, shape (4, n)
            They sum to 1.
        """
        column, row = x / self.spacing, y / self.spacing
        left, low = np.floor(column).astype("int64"), np.floor(row).astype("int64")
        across, up = column - left, row - low
        first = (low - window.row) * window.shape[1] + left - window.column
        nodes = first + np.array([0, 1, window.shape[1], window.shape[1] + 1])[:, None]
        return nodes, np.stack([(1 - up) * (1 - across), (1 - up) * across, up * (1 - across), up * across])

    def nodes(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return coordinates x and y of a window's nodes, flat."""
        rows, columns = (
            start + np.arange(n) for start, n in zip((window.row, window.column), window.shape, strict=True)
        )
        x, y = np.meshgrid(columns * self.spacing, rows * self.spacing)
        return x.ravel(), y.ravel()

    @cached_property
    def kernel(self) -> np.ndarray:
        """The kernel whose smoothing of white noise has variance 1 and the Matérn correlation, shape (2 HALO − 1, …).

        The root of the spectrum, cut off beyond `HALO` nodes.
        """
        n = 4 * TILE
        away = np.minimum(np.arange(n), n - np.arange(n)) / self.range_nodes
        spectrum = np.fft.rfft2(correlation(np.hypot(away[:, None], away[None])))
        whole = np.fft.fftshift(np.fft.irfft2(np.sqrt(np.maximum(spectrum.real, 0)), s=(n, n)))
        middle, reach = n // 2, np.arange(-HALO + 1, HALO)
        kernel = whole[middle - HALO + 1 : middle + HALO, middle - HALO + 1 : middle + HALO]
        kernel = kernel * (np.hypot(reach[:, None], reach[None]) < HALO)
        return np.asarray(kernel / np.sqrt((kernel**2).sum()))

    def tiles(self, window: Window) -> list[tuple[int, int]]:
        """Return tiles that hold a window's nodes, as rows and columns of tiles."""
        spans = [
            range(start // TILE, (start + n - 1) // TILE + 1)
            for start, n in zip((window.row, window.column), window.shape, strict=True)
        ]
        return [(row, column) for row in spans[0] for column in spans[1]]

    def field(self, window: Window, seed: int, draws: int, layers: int) -> np.ndarray:
        """Draw the field: independent layers of standard normal values, smoothed.

        Returns
        -------
        ndarray of float32, shape (draws, layers, rows, columns)
            The first draws are the same however many are asked for.
        """
        result = np.empty((draws, layers, *window.shape), "float32")
        transformed = rfft2(_padded(self.kernel))
        noise: dict[tuple[int, int], np.ndarray] = {}
        for row, column in self.tiles(window):
            around = [(r, c) for r in (row - 1, row, row + 1) for c in (column - 1, column, column + 1)]
            noise = {tile: noise[tile] if tile in noise else white_noise(tile, seed, draws, layers) for tile in around}
            block = np.concatenate(
                [
                    np.concatenate([noise[r, c] for c in (column - 1, column, column + 1)], axis=-1)
                    for r in (row - 1, row, row + 1)
                ],
                axis=-2,
            )[..., HALO:-HALO, HALO:-HALO]
            smooth = irfft2(rfft2(block) * transformed, s=block.shape[-2:])[..., HALO:-HALO, HALO:-HALO]
            here = Window(row * TILE, column * TILE, (TILE, TILE))
            (into, of) = overlap(window, here)
            result[(..., *into)] = smooth[(..., *of)]
        return result


def white_noise(tile: tuple[int, int], seed: int, draws: int, layers: int) -> np.ndarray:
    """Draw standard normal numbers of a tile's nodes, float32, shape (draws, layers, TILE, TILE)."""
    key = (int(Use.ERROR_FIELD), tile[0] + 2**31, tile[1] + 2**31)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))
    return rng.standard_normal((draws, layers, TILE, TILE), dtype="float32")


def _padded(kernel: np.ndarray) -> np.ndarray:
    """Pad the kernel to the square of a tile and its halo, its middle at the origin, float32."""
    square = np.zeros((2 * TILE, 2 * TILE), "float32")
    n = len(kernel)
    square[:n, :n] = kernel
    return np.roll(square, (-(n // 2), -(n // 2)), axis=(0, 1))


def overlap(a: Window, b: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the overlap of two windows, as places in the first and in the second."""
    into, of = [], []
    for start_a, n_a, start_b, n_b in (
        (a.row, a.shape[0], b.row, b.shape[0]), (a.column, a.shape[1], b.column, b.shape[1]),
    ):  # fmt: skip
        first, last = max(start_a, start_b), min(start_a + n_a, start_b + n_b)
        into.append(slice(first - start_a, last - start_a))
        of.append(slice(first - start_b, last - start_b))
    return (into[0], into[1]), (of[0], of[1])


@dataclass(frozen=True)
class Footprint:
    """Weights of the nodes of a window, of shape `window.shape`: a place's bilinear ones, or a zone's areas."""

    window: Window
    values: np.ndarray


def integrals(lattice: Lattice, footprints: Sequence[Footprint], seed: int, draws: int, layers: int) -> np.ndarray:
    """Draw sums of weight × field over footprints, for the field's independent layers, without the field.

    The footprints are smoothed instead of the noise: once, and not draw by draw.

    Returns
    -------
    ndarray, shape (draws, layers, footprints)
    """
    smooth = [_smoothed(footprint, lattice.kernel) for footprint in footprints]
    result = np.zeros((draws, layers, len(footprints)))
    by_tile: dict[tuple[int, int], list[int]] = {}
    for number, footprint in enumerate(smooth):
        for tile in lattice.tiles(footprint.window):
            by_tile.setdefault(tile, []).append(number)
    for (row, column), numbers in by_tile.items():
        here = Window(row * TILE, column * TILE, (TILE, TILE))
        of_tile = np.zeros((len(numbers), TILE, TILE), "float32")
        for place, number in enumerate(numbers):
            into, of = overlap(here, smooth[number].window)
            of_tile[(place, *into)] = smooth[number].values[of]
        noise = white_noise((row, column), seed, draws, layers).reshape(draws * layers, -1)
        result[:, :, numbers] += (noise @ of_tile.reshape(len(numbers), -1).T).reshape(draws, layers, -1)
    return result


def _smoothed(footprint: Footprint, kernel: np.ndarray) -> Footprint:
    """Convolve with a symmetric kernel; only nodes that the whole kernel reaches are returned."""
    reach = len(kernel) // 2
    window = footprint.window
    wide = Window(window.row - reach, window.column - reach, (window.shape[0] + 2 * reach, window.shape[1] + 2 * reach))
    if window.size > _FEW_NODES:
        return Footprint(wide, fftconvolve(footprint.values, kernel))
    values = np.zeros(wide.shape)
    for (row, column), weight in np.ndenumerate(footprint.values):
        values[row : row + len(kernel), column : column + len(kernel)] += weight * kernel
    return Footprint(wide, values)
