"""Styles for QGIS: well-formed, of the form that QGIS writes, with colours for everyone."""

from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from engine.export.qgis import RAMPS, Class, Ramp, style_text, write_style


def parsed(style) -> ElementTree.Element:
    text = style_text(style)
    assert text.startswith("<!DOCTYPE qgis")
    return ElementTree.fromstring(text)


@pytest.mark.parametrize(
    ("low", "high", "units", "factor"), [(0.5, 8, "kg C/m²", 1), (0.012, 0.31, "%", 100), (-1, 1e-3, "", 1)]
)
def test_a_ramp(low, high, units, factor):
    root = parsed(Ramp(low, high, "viridis_r", units, factor))
    assert root.tag == "qgis" and root.get("version")
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("band")) == ("singlebandpseudocolor", "1")
    shader = renderer.find("rastershader/colorrampshader")
    assert shader is not None and shader.get("colorRampType") == "INTERPOLATED" and shader.get("clip") == "0"
    items = shader.findall("item")
    values = [float(item.get("value", "")) for item in items]
    assert values == pytest.approx(np.linspace(low, high, len(RAMPS["viridis_r"])), abs=1e-8)
    assert float(shader.get("minimumValue", "")) == pytest.approx(low)
    assert float(shader.get("maximumValue", "")) == pytest.approx(high)
    labels = [item.get("label", "") for item in items]
    assert all(label.endswith(units) for label in labels) and len(set(labels)) == len(labels)
    assert float(labels[0].split()[0]) == pytest.approx(low * factor, rel=0.05)
    assert root.find("pipe/rasterresampler") is not None and root.find("blendMode") is not None


def test_classes(tmp_path):
    write_style(tmp_path / "applicable.qml", [Class(1, "#1fa187", "inside & <sure>")])
    root = ElementTree.parse(tmp_path / "applicable.qml").getroot()
    entry = root.find("pipe/rasterrenderer[@type='paletted']/colorPalette/paletteEntry")
    assert entry is not None
    assert (entry.get("value"), entry.get("color"), entry.get("label")) == ("1", "#1fa187", "inside & <sure>")


@pytest.mark.parametrize("name", RAMPS)
def test_colours_are_those_of_the_figures_and_differ_in_lightness(name):
    colours = np.array([to_rgb(colour) for colour in RAMPS[name]])
    expected = matplotlib.colormaps[name](np.linspace(0, 1, len(colours)))[:, :3]
    np.testing.assert_allclose(colours, expected, atol=1.01 / 255)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) < -0.02).all()
