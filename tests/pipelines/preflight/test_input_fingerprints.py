"""Inputs that change while a run works: recorded is what was there when it began."""

import json
import os
from pathlib import Path

import pytest
from small_run import SmallRun, write_geotiff

from engine.sources.base import stamp
from pipelines.preflight.input_fingerprints import changed_since, content
from pipelines.preflight.prepare import open_run
from pipelines.run import stages
from pipelines.run.stage_keys import stage_states


def _during(monkeypatch: pytest.MonkeyPatch, stage: str, action) -> None:
    """Have something happen at the end of a stage's work."""
    plain = stages.FUNCTIONS[stage]

    def with_action(context):
        facts = plain(context)
        action()
        return facts

    monkeypatch.setitem(stages.FUNCTIONS, stage, with_action)


def test_a_table_edited_during_a_run_is_not_recorded_as_used(run: SmallRun, gelisol, on_scheduler, monkeypatch):
    before = content(run.data / "profiles.csv")
    _during(monkeypatch, "profiles", lambda: run.edit_profiles(lambda table: table.assign(soc=table["soc"] + 1)))
    _during(monkeypatch, "select", lambda: (run.directory / "boundary.geojson").open("a").write("\n"))
    result = gelisol("run", run.path, "--until", "select", *on_scheduler)
    assert result.exit_code == 0, result.output
    assert result.output.count("the profile table changed since this run began") == 1
    assert "the boundary's file changed since this run began" in result.output
    assert content(run.data / "profiles.csv") != before
    monkeypatch.undo()
    states = stage_states(open_run(run.path))
    assert states["profiles"] == "stale: the profile table changed"
    assert states["cube"] == "stale: the boundary's file changed"
    assert states["select"].startswith("stale")
    used = run.out / "profiles.parquet"
    first = used.read_bytes()
    again = gelisol("run", run.path, "--until", "profiles")
    assert again.exit_code == 0 and "kept" not in again.output
    assert used.read_bytes() != first


def test_a_raster_that_changes_while_the_cube_is_made_ends_the_run(run: SmallRun, gelisol, on_scheduler, monkeypatch):
    tif = run.data / "tn.tif"
    whole, times = tif.read_bytes(), tif.stat()
    _during(monkeypatch, "cube", lambda: write_geotiff(tif, 0.05, _ones(tif), "float32", nodata=-9999))
    result = gelisol("run", run.path, "--until", "cube", *on_scheduler)
    assert result.exit_code == 3
    assert "files of tn changed while the cube was made" in " ".join(result.output.split())
    assert not (run.out / "cube.zarr").exists()
    monkeypatch.undo()
    assert stage_states(open_run(run.path))["cube"] == "to do"
    tif.write_bytes(whole)  # not even if what was there at first comes back
    os.utime(tif, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stage_states(open_run(run.path))["cube"] == "to do"


def _ones(tif: Path):
    import rasterio

    with rasterio.open(tif) as file:
        return file.read(1) * 0 + 1


def test_what_is_recorded_was_taken_when_the_run_was_opened(run: SmallRun):
    prepared = open_run(run.path)

    def changed() -> list[str]:
        sources = prepared.plan.sources
        return changed_since(
            prepared.inputs, prepared.config, prepared.base,
            lambda: {name: source.summary() for name, source in sources.items()}, remote=True,
        )  # fmt: skip

    assert changed() == []
    (run.data / "tn.tif").touch()
    (run.data / "mat_2002.nc").unlink()
    run.edit_profiles(lambda table: table.iloc[1:])
    assert changed() == ["the profile table", "files of mat", "files of tn"]


@pytest.mark.parametrize(
    ("name", "other"),
    [("a.shp", "a.prj"), ("a.shp", "a.dbf"), ("a.tif", "a.tfw"), ("a.tif", "a.tif.aux.xml"), ("a.gpkg", "a.gpkg-wal"),
     ("a.img", "a.hdr"), ("a.vrt", "tiles/b.tif")],
)  # fmt: skip
def test_files_that_belong_to_another_count(tmp_path: Path, name: str, other: str):
    (tmp_path / name).write_text('<SourceFilename relativeToVRT="1">tiles/b.tif</SourceFilename>')
    (tmp_path / "unrelated.prj").touch()
    before = content(tmp_path / name), stamp(tmp_path / name)
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).write_text("x")
    after = content(tmp_path / name), stamp(tmp_path / name)
    assert before[0] != after[0] and before[1] != after[1]
    (tmp_path / other).write_text("another")
    assert content(tmp_path / name) != after[0] and stamp(tmp_path / name) != after[1]


def test_an_edited_local_catalogue_is_read_anew(run: SmallRun):
    """Items that were found are kept for those behind addresses; a file on this disk may say something else today."""
    entry = json.loads((run.directory / "boundary.geojson").read_text())["features"][0]
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "tn", "collection": "soil", "geometry": entry["geometry"],
        "bbox": [119, 49.5, 124, 52.5], "properties": {"datetime": "2020-01-01T00:00:00Z"}, "links": [],
        "assets": {"data": {"href": "../data/tn.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}},
    }  # fmt: skip
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": "soil", "description": "x", "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [item["bbox"]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "item", "href": "./tn.json"}],
    }  # fmt: skip
    folder = run.directory / "catalogue"
    folder.mkdir()
    (folder / "collection.json").write_text(json.dumps(collection))
    run.set("covariates.tn", {"stac": {"api": "../catalogue/collection.json", "collection": "soil"}, "units": "g/kg"})

    def fingerprint() -> str:
        (folder / "tn.json").write_text(json.dumps(item))
        return open_run(run.path).inputs["files of tn"]

    first = fingerprint()
    assert fingerprint() == first
    item["assets"]["data"]["raster:bands"] = [{"scale": 0.5}]
    scaled = fingerprint()
    (run.data / "tn.tif").touch()
    assert len({first, scaled, fingerprint()}) == 3
