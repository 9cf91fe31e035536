"""Style files of QGIS (`.qml`): the colours and limits of a raster, with units in the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from engine.storage.atomic import write_file
from engine.storage.paths import OutPath

VERSION = "3.28.0"
"""Of QGIS, whose form of the files is written; later ones read it."""
_HEAD = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"

RAMPS: dict[str, tuple[str, ...]] = {
    "viridis_r": ("#fde725", "#a0da39", "#4ac16d", "#1fa187", "#277f8e", "#365c8d", "#46327e", "#440154"),
    "magma_r": ("#fcfdbf", "#fec287", "#fb8761", "#e55064", "#b5367a", "#812581", "#4f127b", "#1c1044", "#000004"),
    "YlGnBu": ("#ffffd9", "#edf8b1", "#c6e9b4", "#7ecdbb", "#40b5c4", "#1d90c0", "#225da8", "#243392", "#081d58"),
}
"""Matplotlib's name of a colour map → its colours at equal steps. All are told apart without colour vision, and by
their lightness alone."""


@dataclass(frozen=True)
class Ramp:
    """Colours for numbers.

    Attributes
    ----------
    low, high : float
        Values of the first and the last colour; those beyond take the outermost.
    colours : str
        A key of `RAMPS`.
    units : str
        In the labels, as people write them; empty for a plain number.
    factor : float
        From the stored values to those in the labels, e.g. 100 for per cent.
    """

    low: float
    high: float
    colours: str
    units: str = ""
    factor: float = 1.0


@dataclass(frozen=True)
class Class:
    """A value with its colour (`#rrggbb`) and label."""

    value: int
    colour: str
    label: str


def write_style(path: OutPath, style: Ramp | Sequence[Class]) -> None:
    """Write the style of a raster's first band; QGIS applies it when it lies beside the raster under its name.

    Parameters
    ----------
    path : OutPath
        The file to write, `NAME.qml` beside `NAME.tif`.
    style : Ramp or sequence of Class
        How numbers, or classes, are shown. What is missing is clear.
    """
    write_file(path, style_text(style).encode("utf-8"))


def style_text(style: Ramp | Sequence[Class]) -> str:
    """Return the content of a style file."""
    root = ElementTree.Element("qgis", version=VERSION, styleCategories="LayerConfiguration|Symbology|Rendering")
    pipe = ElementTree.SubElement(root, "pipe")
    if isinstance(style, Ramp):
        _pseudocolour(pipe, style)
    else:
        _palette(pipe, style)
    ElementTree.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ElementTree.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ElementTree.SubElement(root, "blendMode").text = "0"
    ElementTree.indent(root, " ")
    return _HEAD + ElementTree.tostring(root, encoding="unicode") + "\n"


def _renderer(
    pipe: ElementTree.Element, kind: Literal["paletted", "singlebandpseudocolor"], more: dict[str, str]
) -> ElementTree.Element:
    return ElementTree.SubElement(
        pipe,
        "rasterrenderer",
        {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": "", **more},
    )


def _pseudocolour(pipe: ElementTree.Element, ramp: Ramp) -> None:
    colours = RAMPS[ramp.colours]
    values = np.linspace(ramp.low, ramp.high, len(colours))
    low, high = f"{ramp.low:.9g}", f"{ramp.high:.9g}"
    renderer = _renderer(pipe, "singlebandpseudocolor", {"classificationMin": low, "classificationMax": high})
    ElementTree.SubElement(renderer, "rasterTransparency")
    origin = ElementTree.SubElement(renderer, "minMaxOrigin")
    for name, text in (
        ("limits", "None"), ("extent", "WholeRaster"), ("statAccuracy", "Estimated"), ("cumulativeCutLower", "0.02"),
        ("cumulativeCutUpper", "0.98"), ("stdDevFactor", "2"),
    ):  # fmt: skip
        ElementTree.SubElement(origin, name).text = text
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED",
        classificationMode="1", clip="0", minimumValue=low, maximumValue=high, labelPrecision="3",
    )  # fmt: skip
    digits = _digits(ramp)
    for value, colour in zip(values, colours, strict=True):
        label = f"{value * ramp.factor:.{digits}f} {ramp.units}".strip()
        ElementTree.SubElement(shader, "item", value=f"{value:.9g}", label=label, color=colour, alpha="255")


def _digits(ramp: Ramp) -> int:
    """Return the number of decimals that distinguishes the labels."""
    step = abs(ramp.high - ramp.low) * ramp.factor / (len(RAMPS[ramp.colours]) - 1)
    return max(0, int(np.ceil(-np.log10(step))) + 1) if step > 0 else 3


def _palette(pipe: ElementTree.Element, classes: Sequence[Class]) -> None:
    renderer = _renderer(pipe, "paletted", {})
    ElementTree.SubElement(renderer, "rasterTransparency")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for entry in classes:
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(entry.value), color=entry.colour, alpha="255", label=entry.label
        )
