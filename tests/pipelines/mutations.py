"""Sound input spoilt at random: run files, tables and rasters; and what is right for each, found by other means.

Whatever is done to the small run, `check` ends with exit code 1 and a list of problems, or with 0, and then what it has
read is what pandas and rasterio read from the same files, or a warning names the column that is doubtful.
"""

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from ruamel.yaml import YAML
from small_run import SmallRun, profiles
from typer.testing import Result

from pipelines.preflight.prepare import Survey, survey

DEPTHS = {"0-10": 1, "0-30": 2}
"""Target depth → how many of a site's layers it holds."""
_TOKENS = (
    "", " ", "abc", "-", "1e400", "inf", "-5", "1,5", "NaN", "#REF!", "1.5.2", "٣", "0x1A", "1_000", "−5", "12 cm",
    "true", "-9999", "<0.5", "n.d.", "1e-300", "0", '"', "5;6", "2000-01-10", "=A1+1", "\x00",
)  # fmt: skip
_VALUES = (
    None, "", "abc", -1, 0, 1e308, float("nan"), float("inf"), [], {}, True, "x" * 3000, "../../etc/passwd", "s3://",
    [[0, 10], [0, 10]], "2020-01-01", "é\u202e", 10**30, [None],
)  # fmt: skip
NUMBERS = ("lon", "lat", "top", "bottom", "soc", "bulk_density", "coarse_fragments")


# What is done


@st.composite
def of_table(draw: Callable[..., Any]) -> tuple[str, Callable[[SmallRun], None]]:
    """Something done to the table of profiles."""
    table, columns = profiles(), list(profiles())
    kind = draw(st.sampled_from(["cell", "cells", "scale", "column", "rows", "bytes", "text"]))
    if kind in ("cell", "cells"):
        rows = draw(st.lists(st.integers(0, len(table) - 1), min_size=1, max_size=1 if kind == "cell" else 30))
        column, token = draw(st.sampled_from(columns)), draw(st.sampled_from(_TOKENS))

        def change(run: SmallRun) -> None:
            changed = table.astype(object)
            changed.loc[rows, column] = token
            changed.to_csv(run.data / "profiles.csv", index=False)

        return f"{column}[{rows}] = {token!r}", change
    if kind == "scale":
        column, factor = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from([10, 100, 1000, 0.1, 0.01, 0.001, -1]))
        return f"{column} × {factor}", lambda run: run.edit_profiles(lambda t: t.assign(**{column: t[column] * factor}))
    if kind == "column":
        a, b = draw(st.sampled_from(columns)), draw(st.sampled_from(columns))
        what = draw(st.sampled_from(["swap", "drop", "rename", "double", "shift", "spaces", "upper"]))
        done = {
            "swap": lambda t: t.assign(**{a: t[b], b: t[a]}),
            "drop": lambda t: t.drop(columns=a),
            "rename": lambda t: t.rename(columns={a: b + "_2"}),
            "double": lambda t: pd.concat([t, t[[a]]], axis=1),
            "shift": lambda t: t.assign(**{a: t[a].shift(1)}),
            "spaces": lambda t: t.rename(columns={a: f" {a} "}),
            "upper": lambda t: t.rename(columns={a: a.upper()}),
        }[what]
        return f"{what} {a} {b}", lambda run: run.edit_profiles(done)
    if kind == "rows":
        what, n = draw(st.sampled_from(["shuffle", "repeat", "drop", "header again", "none"])), draw(st.integers(1, 79))
        done = {
            "shuffle": lambda t: t.sample(frac=1, random_state=n),
            "repeat": lambda t: pd.concat([t, t.iloc[:n]]),
            "drop": lambda t: t.drop(index=range(n)),
            "header again": lambda t: pd.concat(
                [t.iloc[:n].astype(object), pd.DataFrame([list(t)], columns=list(t)), t.iloc[n:].astype(object)]
            ),
            "none": lambda t: t.iloc[:0],
        }[what]
        return f"{what} {n}", lambda run: run.edit_profiles(done)
    where, junk = draw(st.floats(0, 1)), draw(st.binary(min_size=0, max_size=6))
    if kind == "bytes":
        cut = draw(st.booleans())
        return f"bytes {where:.3f} {junk!r} {cut}", lambda run: _bytes(run.data / "profiles.csv", where, junk, cut)
    written = draw(st.sampled_from([
        {"sep": ";"}, {"sep": "\t"}, {"sep": ";", "decimal": ","}, {"sep": " "}, {"encoding": "utf-16"},
        {"encoding": "utf-8-sig"}, {"index": True}, {"na_rep": "-9999"}, {"na_rep": "n.d."}, {"lineterminator": "\r\n"},
        {"header": False}, {"quoting": 1}, {"float_format": "%.1e"},
    ]))  # fmt: skip
    return f"written {written}", lambda run: table.to_csv(run.data / "profiles.csv", **{"index": False, **written})


@st.composite
def of_raster(draw: Callable[..., Any]) -> tuple[str, Callable[[SmallRun], None]]:
    """Something done to the raster of nitrogen."""
    kind = draw(st.sampled_from(["bytes", "profile", "values", "type", "mask"]))
    if kind == "bytes":
        where, junk = draw(st.floats(0, 1)), draw(st.binary(min_size=1, max_size=8))
        head, cut = draw(st.booleans()), draw(st.booleans())
        share = where * 0.02 if head else where
        return f"bytes {share:.4f} {junk!r} {cut}", lambda run: _bytes(run.data / "tn.tif", share, junk, cut)
    if kind == "profile":
        changed = draw(st.sampled_from([
            {"crs": None}, {"crs": "EPSG:3857"}, {"crs": "EPSG:4979"}, {"crs": 'LOCAL_CS["here",UNIT["metre",1]]'},
            {"crs": "EPSG:32651"}, {"nodata": None}, {"nodata": 4.0}, {"nodata": np.nan}, {"nodata": -3.4e38},
            {"transform": rasterio.Affine(0.05, 0, 119, 0, 0.05, 49.5)},
            {"transform": rasterio.Affine(0.05, 0.01, 119, 0.01, -0.05, 52.5)},
            {"transform": rasterio.Affine(-0.05, 0, 124, 0, -0.05, 52.5)},
            {"transform": rasterio.Affine(0.05, 0, 119 + 360, 0, -0.05, 52.5)},
            {"transform": rasterio.Affine(0.05, 0, 29, 0, -0.05, 52.5)}, {"transform": rasterio.Affine.identity()},
            {"transform": rasterio.Affine(1e-9, 0, 119, 0, -1e-9, 52.5)}, {"count": 3},
            {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"compress": "deflate", "predictor": 3},
            {"driver": "ENVI"}, {"driver": "PNG", "dtype": "uint8", "nodata": 0},
        ]))  # fmt: skip
        return f"{changed}", lambda run: _rewrite(run.data / "tn.tif", **changed)
    if kind == "values":
        what = draw(st.sampled_from(["nan", "inf", "-9999", "all missing", "× 1000", "× -1", "one huge"]))
        return what, lambda run: _rewrite(run.data / "tn.tif", values=what)
    if kind == "type":
        dtype = draw(st.sampled_from(["uint8", "int8", "int16", "uint16", "int32", "float64", "complex64", "int64"]))
        nodata = draw(st.sampled_from([None, 0, 4]))
        return f"{dtype} {nodata}", lambda run: _rewrite(run.data / "tn.tif", dtype=dtype, nodata=nodata)
    inside = draw(st.booleans())
    return f"mask {inside}", lambda run: _mask(run.data / "tn.tif", inside)


@st.composite
def of_run_file(draw: Callable[..., Any]) -> tuple[str, Callable[[SmallRun], None]]:
    """Something done to the run file."""
    kind = draw(st.sampled_from(["value", "delete", "typo", "nest", "line", "bytes"]))
    number, value, where = draw(st.integers(0, 10**6)), draw(st.sampled_from(_VALUES)), draw(st.floats(0, 1))
    junk, cut = draw(st.binary(min_size=0, max_size=4)), draw(st.booleans())

    def change(run: SmallRun) -> None:
        if kind == "bytes":
            _bytes(run.path, where, junk, cut)
        elif kind == "line":
            lines = run.path.read_text("utf-8").splitlines()
            place = number % len(lines)
            lines[place : place + 1] = [] if cut else ["\t" + lines[place]]
            run.path.write_text("\n".join(lines), "utf-8")
        else:
            document = YAML(typ="safe", pure=True).load(run.path)
            places = list(_places(document))
            holder, key = places[number % len(places)]
            if kind == "value":
                holder[key] = value
            elif kind == "delete":
                del holder[key]
            elif kind == "typo":
                if isinstance(holder, dict):
                    holder[f"{key}x"] = holder.pop(key)
                else:
                    holder[key] = f"{holder[key]}x"
            else:
                holder[key] = [holder[key]]
            with run.path.open("w", encoding="utf-8") as file:
                YAML(typ="rt", pure=True).dump(document, file)

    return f"{kind} {number} {value!r} {where:.3f} {junk!r} {cut}", change


MUTATIONS = {"table": of_table(), "raster": of_raster(), "run file": of_run_file()}


def _places(node: Any) -> Any:
    """Every place of a document that a value stands at."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield node, key
        yield from _places(value)


def _bytes(path: Path, where: float, junk: bytes, cut: bool) -> None:
    """Overwrite some bytes, or end the file there."""
    content = bytearray(path.read_bytes())
    place = int(where * len(content))
    content[place : place + (len(content) if cut else len(junk))] = junk
    path.write_bytes(content)


def _rewrite(path: Path, values: str = "", **changed: Any) -> None:
    with rasterio.open(path) as file:
        profile, data = {**file.profile, **changed}, file.read(1)
    y, x = np.mgrid[: data.shape[0], : data.shape[1]]
    hole = (x - 40) ** 2 + (y - 30) ** 2 < 100
    match values:
        case "nan" | "inf" | "-9999":
            data[hole] = float(values)
        case "all missing":
            data[:] = -9999
        case "× 1000" | "× -1":
            data *= float(values[2:])
        case "one huge":
            data[30, 50] = 1e30
    path.unlink()
    with rasterio.open(path, "w", **profile) as file:
        for band in range(1, profile["count"] + 1):
            file.write(data.astype(profile["dtype"]), band)


def _mask(path: Path, inside: bool) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
        mask = np.full(file.shape, 255, "uint8")
        mask[20:40, 30:60] = 0
        file.write_mask(mask)


# What is right


def verdict(run: SmallRun, result: Result, kind: str) -> str:
    """`refused`, `right` or `warned`; an AssertionError for anything else.

    Of a run file that is still sound, what it asks for is right by definition: whether it runs is another question.
    """
    assert "Traceback" not in result.output, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert not run.out.exists()
    if result.exit_code == 1:
        count, *problems = result.stderr.splitlines()
        assert re.match(r"\d+ problems? with the input:$", count) and problems, result.stderr
        return "refused"
    assert result.exit_code == 0, result.output
    warned = "warning:" in result.output
    if kind == "run file":
        return "warned" if warned else "right"
    found = survey(run.path)
    wrong = [*_wrong_densities(run, found), *_wrong_values(run, found)]
    assert not wrong or warned, (wrong[:5], result.output)
    return "warned" if warned else "right"


def _wrong_densities(run: SmallRun, found: Survey) -> list[str]:
    """Sites whose densities are not those of Eq. 1, of the table as pandas reads it; of sites without a gap."""
    path = run.data / "profiles.csv"
    assert found.profiles is not None
    ours = found.profiles.table.set_index(["site", "depth"])["socd"]
    table = _plainly(path)
    if table is None:  # nothing but the reading itself can be compared
        table = profiles()
    numbers = table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in NUMBERS})
    numbers["kg"] = numbers.eval("soc * bulk_density * (bottom - top) * (1 - coarse_fragments / 100) * 0.01")
    wrong = []
    for site, layers in numbers.groupby("site"):
        ordered = layers.drop_duplicates(["top", "bottom"]).sort_values("top")
        sums = ordered["kg"].to_numpy().cumsum()
        if list(ordered["top"]) != [0, 10] or list(ordered["bottom"]) != [10, 30] or not np.isfinite(sums).all():
            continue
        for depth, layer in DEPTHS.items():
            value = ours.get((str(site), depth), np.nan)
            if np.isfinite(value) and not np.isclose(value, sums[layer - 1], rtol=1e-6):
                wrong.append(f"{site} {depth}: {value} is not {sums[layer - 1]}")
    return wrong


def _plainly(path: Path) -> pd.DataFrame | None:
    """The table with a separator and an encoding that make sense of it; None if none does."""
    for options in ({"encoding": "utf-8-sig"}, {"encoding": "utf-16"}):
        for separator, decimal in ((",", "."), (";", ","), (";", "."), ("\t", ".")):
            try:
                table = pd.read_csv(path, sep=separator, decimal=decimal, **options, dtype={"site": str})
            except (ValueError, UnicodeError, pd.errors.ParserError, OSError):
                continue
            table.columns = [str(name).strip().lower() for name in table.columns]
            if {"site", *NUMBERS} <= set(table.columns) and not table.columns.duplicated().any():
                return table
    return None


def _wrong_values(run: SmallRun, found: Survey) -> list[str]:
    """Cells whose nitrogen is not what rasterio reads under their centres."""
    source, grid = found.sources["tn"], found.grid
    assert grid is not None
    geobox: GeoBox = grid.geobox
    ours = source.on_grid(geobox, "nearest").ravel()
    rows, cols = np.mgrid[: geobox.shape.y, : geobox.shape.x]
    x, y = geobox.affine * (cols.ravel() + 0.5, rows.ravel() + 0.5)
    try:
        with rasterio.open(run.data / "tn.tif") as file:
            band = file.read(1, masked=True).astype("float64").filled(np.nan) * file.scales[0] + file.offsets[0]
            band[np.isinf(band)] = np.nan
            crs = source.spec.crs or file.crs
            px, py = rasterio.warp.transform(str(geobox.crs), crs, x, y)
            width = 360 if file.crs and file.crs.is_geographic and file.bounds.left > 180 else 0
            c, r = ~file.transform * (np.array(px) + width, np.array(py))
    except (RasterioError, struct.error) as error:
        return [f"rasterio cannot read it: {error}"]
    row, col = np.floor(r), np.floor(c)
    inside = (row >= 0) & (col >= 0) & (row < band.shape[0]) & (col < band.shape[1])
    theirs = np.full(len(ours), np.nan)
    theirs[inside] = band[row[inside].astype(int), col[inside].astype(int)]
    near_edge = np.minimum(np.abs(r - np.round(r)), np.abs(c - np.round(c))) < 1e-3
    differ = ~np.isclose(ours, theirs.astype("float32"), rtol=1e-5, equal_nan=True) & ~near_edge
    return [f"cell {i}: {ours[i]} is not {theirs[i]}" for i in np.flatnonzero(differ)[:5]]
