"""Parts of what notebooks show of an object, escaped."""

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

import pandas as pd

from engine.extras import require

if TYPE_CHECKING:
    from pipelines.soil_carbon.results.overviews import Picture

_STYLE = "font-family:sans-serif;font-size:13px;line-height:1.4"


def page(title: str, parts: Iterable[str]) -> str:
    """Return parts, which are HTML, under a title, which is text."""
    return f'<div style="{_STYLE}"><strong>{escape(title)}</strong>{"".join(parts)}</div>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f'<p style="margin:0.3em 0">{escape(text)}</p>'


def items(texts: Iterable[str]) -> str:
    """Return a list of plain texts; empty without any."""
    rows = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul style="margin:0.3em 0">{rows}</ul>' if rows else ""


def table(frame: pd.DataFrame, digits: int = 3) -> str:
    """Return a table without its index."""
    shown: str = frame.to_html(index=False, border=0, escape=True, float_format=lambda value: f"{value:.{digits}g}")
    return shown


def image(png: bytes, alt: str) -> str:
    """Return a picture that travels with the page."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{b64encode(png).decode()}" style="max-width:340px">'


def map_png(field: "Picture", colours: str) -> bytes:
    """Return a small map as PNG: a pixel for each of the field's, clear where it is missing."""
    require("report", "small maps")
    import matplotlib
    import numpy as np
    from matplotlib.image import imsave

    from pipelines.soil_carbon.results.overviews import limits

    low, high = limits(field.values)
    shades = matplotlib.colormaps[colours](np.clip((field.values - low) / (high - low), 0, 1))
    shades[..., 3] = np.isfinite(field.values)
    stream = BytesIO()
    imsave(stream, shades, format="png")
    return stream.getvalue()
