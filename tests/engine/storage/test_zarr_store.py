"""Stores on the grid, and results that appear whole or not at all."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (the accessor)
import xarray as xr
import zarr
from odc.geo.geom import box

from engine.grid.grid import Grid
from engine.storage.atomic import staged
from engine.storage.zarr_store import Layer, array, create, open_dataset

GRID = Grid.from_outline(box(0, 0, 70_000, 50_000, "EPSG:6931"), "EPSG:6931", 1000, 32)
LAYERS = {
    "mean": Layer("float32", {"units": "kg m-2", "long_name": "density"}, ("depth",)),
    "mat": Layer("float32", {"units": "degC"}),
    "vegetation": Layer("uint8", {"flag_values": [1, 2], "flag_meanings": "forest wetland"}),
}
COORDS = {"depth": ("depth", np.array(["0-10", "0-30"]), {"units": "cm"})}


@pytest.fixture
def store(tmp_path) -> Path:
    create(tmp_path / "a.zarr", GRID, LAYERS, COORDS, {"title": "made up"})
    return tmp_path / "a.zarr"


def test_an_empty_store_is_missing_everywhere(store):
    dataset = open_dataset(store)
    assert dict(dataset.sizes) == {"depth": 2, "y": 50, "x": 70}
    assert dataset["mean"].dims == ("depth", "y", "x")
    assert np.isnan(dataset["mean"].values).all() and np.isnan(dataset["mat"].values).all()
    assert dataset["vegetation"].dtype == np.uint8 and (dataset["vegetation"].values == 0).all()
    assert dataset["depth"].values.tolist() == ["0-10", "0-30"]


def test_a_block_is_a_chunk(store):
    assert array(store, "mean").chunks == (1, 32, 32)
    assert array(store, "mat").chunks == (32, 32)
    for block in GRID.blocks():
        array(store, "mat", "r+")[block.roi] = np.full(block.geobox.shape, sum(block.index), "float32")
    values = open_dataset(store)["mat"].values
    assert (values[:32, :32] == 0).all() and (values[32:, 64:] == 3).all()
    assert len(list((store / "mat" / "c").rglob("*"))) == 2 + 6


def test_anyone_can_open_it(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(store, decode_coords="all", chunks=None)
        # As a web server, which lists no folders, would have it.
        assert set(xr.open_zarr(store, consolidated=True, chunks=None)) == set(LAYERS)
    assert dataset.rio.crs.to_epsg() == 6931
    assert dataset.rio.transform().almost_equals(GRID.geobox.affine)
    assert dataset.odc.geobox == GRID.geobox
    assert dataset["mat"].rio.crs.to_epsg() == 6931
    assert dataset.attrs == {"Conventions": "CF-1.11", "title": "made up"}
    assert dataset["vegetation"].attrs["flag_meanings"] == "forest wetland"
    assert dataset["mean"].attrs["units"] == "kg m-2"
    for axis in "xy":
        found = dataset[axis].attrs
        assert (found["standard_name"], found["units"], found["axis"]) == (
            f"projection_{axis}_coordinate", "m", axis.upper(),
        )  # fmt: skip
    assert np.array_equal(dataset["x"].values, 500 + 1000 * np.arange(70))
    assert zarr.open_group(store, mode="r").metadata.zarr_format == 3


def content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def build(path: Path, text: str) -> None:
    with staged(path) as stage:
        assert not path.exists() or content(path.parent)
        stage.mkdir()
        (stage / "part").write_text(text)
        assert path.name not in {p.name for p in path.parent.iterdir()} or (path / "part").read_text() != text


def test_a_folder_appears_once_it_is_whole(tmp_path):
    build(tmp_path / "new" / "a", "one")
    assert content(tmp_path) == {"new/a/part": "one"}
    build(tmp_path / "new" / "a", "two")
    assert content(tmp_path) == {"new/a/part": "two"}


def test_a_file_appears_once_it_is_whole(tmp_path):
    for text in ("one", "two"):
        with staged(tmp_path / "a.json") as stage:
            stage.write_text(text)
        assert content(tmp_path) == {"a.json": text}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    build(tmp_path / "a", "one")
    with pytest.raises(error), staged(tmp_path / "a") as stage:
        stage.mkdir()
        (stage / "part").write_text("half")
        raise error
    with pytest.raises(error), staged(tmp_path / "new.txt") as stage:
        stage.write_text("half")
        raise error
    assert content(tmp_path) == {"a/part": "one"}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_nobody_built_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), staged(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_is_removed_by_the_next(tmp_path):
    with staged(tmp_path / "a") as stage:
        stage.write_text("one")
        left, other = stage.with_name(".a.01234567.partial"), tmp_path / ".a.b.01234567.partial"
        left.mkdir()
        (left / "half").write_text("half")
        other.write_text("of another result")
    with staged(tmp_path / "a") as stage:
        assert not left.exists()
        stage.write_text("two")
    assert content(tmp_path) == {"a": "two", other.name: "of another result"}


def test_two_at_a_time_do_not_share_a_place(tmp_path):
    """Tasks of a run that has failed may still write while the next one builds."""
    places = []
    for _ in range(2):
        with staged(tmp_path / "a") as stage:
            stage.write_text("x")
            places.append(stage)
    assert places[0] != places[1]
