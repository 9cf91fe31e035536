"""A map on axes of matplotlib."""

from typing import TYPE_CHECKING

import xarray as xr

from engine.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(layer: xr.DataArray, title: str, colours: str, ax: "Axes | None") -> "Axes":
    """Draw a map of any size, averaged down to what a picture shows."""
    require("report", "plots")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    from pipelines.soil_carbon.results.overviews import limits, picture

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    field = picture(layer)
    low, high = limits(field.values)
    drawn = ax.imshow(field.values, extent=field.extent, cmap=colours, vmin=low, vmax=high, interpolation="none")
    ax.set_title(title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    ax.set_xlabel("x (m)")
    ax.set_ylabel("y (m)")
    ax.figure.colorbar(drawn, ax=ax, extend="both")
    return ax
