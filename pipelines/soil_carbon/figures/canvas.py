"""One look for all figures, and how they reach the disk: for print, and lighter for the page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends import _backend_pdf_ps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from engine.storage.atomic import staged
from engine.storage.paths import OutPath

DPI = 300
"""Of the PNG files."""
LAYOUT_DPI = 100
WIDTH = 7.1
"""Inches: two columns of a journal, 180 mm."""
PAD = 0.05

INK = "#222222"
FAINT = "#8a8a8a"
WARNING = "#a32a1c"
POINT = "#33638d"
LINE = "#b5651d"

ZONES = ("#009E73", "#E69F00", "#0072B2", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8C6D31")
"""Okabe & Ito (2008): told apart without colour vision."""
GROUPS = ("#882255", "#44AA99", "#B8860B", "#332288", "#CC6677", "#117733", "#88CCEE", "#999933")
"""Tol's muted scheme, its sand darkened for lines on white: not to be taken for zones."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""What colour says, shape says, too."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "hatch.linewidth": 0.4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Text stays text: editors can set it anew.
    "pdf.fonttype": 42,
    "pdf.compression": 4,
}


@contextmanager
def canvas(path: OutPath, size: tuple[float, float], made_up: bool) -> Iterator[Figure]:
    """Open a figure to draw on; when the block ends it is saved as PNG (300 dpi) and as PDF, whole or not at all.

    Parameters
    ----------
    path : OutPath
        The PNG file; the PDF is beside it.
    size : (float, float)
        Width and height, inches.
    made_up : bool
        Whether the figure says that its data are made up.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=LAYOUT_DPI, layout="compressed")
        FigureCanvasAgg(figure)
        yield figure
        if made_up:
            # A supertitle, because the layout keeps room for it.
            figure.suptitle("MADE-UP DATA", x=0.995, ha="right", fontsize=7, fontweight="bold", color=WARNING)
        _save(figure, path)
        # Artists refer to one another in circles: let go of the images now.
        figure.clear()


def _save(figure: Figure, path: OutPath) -> None:
    # Laid out once, for both files: the layout takes as long as the drawing. "none" would leave an engine that does
    # nothing, for whose sake every file is drawn twice; None leaves none.
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    box = figure.get_tightbbox().padded(PAD)
    # Without a date, so that the same run gives the same file.
    formats: dict[str, dict[str, Any]] = {
        "png": {"pil_kwargs": {"compress_level": 4}},
        "pdf": {"metadata": {"CreationDate": None}},
    }
    for suffix, options in formats.items():
        with staged(path.with_suffix(f".{suffix}")) as stage, _fonts_without_layout():
            figure.savefig(stage, format=suffix, dpi=DPI, bbox_inches=box, **options)


@contextmanager
def _fonts_without_layout() -> Iterator[None]:
    """Leave a font's rules of layout out of what a PDF embeds: there, every glyph has its place already.

    To cut these tables down takes a third of the time of a figure.
    """
    options, name = _backend_pdf_ps.subset.Options, "_drop_tables_default"
    dropped = getattr(options, name)
    setattr(options, name, [*dropped, "GDEF", "GPOS", "GSUB"])
    try:
        yield
    finally:
        setattr(options, name, dropped)


def letter(number: int) -> str:
    """Return the label of a panel: A for 0, B for 1, and so on."""
    return chr(ord("A") + number)


def colour_of(names: Sequence[str], palette: Sequence[str] = ZONES) -> dict[str, str]:
    """Return a colour for each name in its order; the palette repeats if there are more names."""
    return {name: palette[i % len(palette)] for i, name in enumerate(names)}


def marker_of(names: Sequence[str]) -> dict[str, str]:
    """Return a marker for each name in its order, as `colour_of` does colours."""
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}


def panels(figure: Any, n: int, columns: int = 3, **options: Any) -> list[Axes]:
    """Make axes in rows of at most `columns`; surplus places of the grid stay empty."""
    columns = min(n, columns)
    grid = figure.subplots(-(-n // columns), columns, squeeze=False, **options).ravel()
    for axes in grid[n:]:
        axes.set_visible(False)
    return list(grid[:n])
