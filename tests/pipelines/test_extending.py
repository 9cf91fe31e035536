"""The examples of docs/extending.md: the code runs, and its run file maps what it has registered."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from distributed import Client
from ruamel.yaml import YAML
from small_run import SmallRun
from typer.testing import Result

from engine.ensemble.statistics import CELL_STATISTICS
from engine.errors import InputError
from engine.registry import HERE
from engine.storage.zarr_store import open_dataset
from pipelines.run.registered import REGISTRIES, require_known
from pipelines.runfile.model_section import Model
from pipelines.runfile.reader import load

GUIDE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def merged(one: dict, other: dict) -> dict:
    """A run file with settings of another, which win."""
    inner = {k: merged(one[k], v) if isinstance(v, dict) and isinstance(one.get(k), dict) else v
             for k, v in other.items()}  # fmt: skip
    return {**one, **inner}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    """All that the guide registers, for one test."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for block in blocks("python"):
        exec(compile(block, "docs/extending.md", "exec"), {})


@pytest.fixture
def extended(run: SmallRun) -> SmallRun:
    """The small run with the settings of the guide."""
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load(run.path)
    for block in blocks("yaml"):
        document = merged(document, yaml.load(block))
    with run.path.open("w", encoding="utf-8") as file:
        YAML(typ="rt", pure=True).dump(document, file)
    return run


def test_the_examples_are_short():
    assert len(blocks("python")) == len(REGISTRIES)
    assert all(len(block.splitlines()) <= 12 for block in blocks("python"))


@pytest.mark.usefixtures("registered")
def test_a_run_uses_what_the_guide_registers(
    extended: SmallRun, gelisol: Callable[..., Result], on_scheduler: list[str]
):
    result = gelisol("run", extended.path, "--until", "map", *on_scheduler)
    assert result.exit_code == 0, result.output
    scores = pd.read_csv(extended.out / "validation.csv")
    assert set(scores["family"]) == {"xgboost", "lightgbm"}
    assert set(scores["scheme"]) == {"random", "strips", "sklearn.model_selection.GroupKFold"}
    maps = open_dataset(extended.out / "maps.zarr")
    cube = open_dataset(extended.out / "cube.zarr")
    distance = cube["from_city"].where(cube["domain"] == 1)
    assert distance.attrs["units"] == "degree" and 0 <= float(distance.min()) < 0.1 < 1 < float(distance.max()) < 3
    share = maps["above_five"]
    assert share.dims == ("depth", "y", "x") and share.attrs["units"] == "1"
    assert ((8 * share) % 1 == 0).where(maps["mean"].notnull(), True).all() and 0 < share.mean() < 1  # 8 replicates
    np.testing.assert_array_equal(share.notnull(), maps["mean"].notnull())
    with rasterio.open(extended.out / "cog" / "socd_0-30_above_five.tif") as file:
        assert file.descriptions == ("socd_0-30_above_five",) and file.units == ("1",)
        assert file.tags(1)["long_name"].startswith("0-30 cm: share of replicates above 5 kg/m²")


def test_without_it_the_run_file_is_refused(extended: SmallRun, gelisol: Callable[..., Result]):
    result = gelisol("check", extended.path)
    assert result.exit_code == 1
    assert "'lightgbm' is not among rf, svm, brt, xgboost" in " ".join(result.output.split())


@pytest.mark.usefixtures("registered")
def test_workers_that_do_not_know_it_are_found_before_the_run(extended: SmallRun, client: Client):
    config, _ = load(extended.path)
    with pytest.raises(InputError) as error:
        require_known(client, config)
    assert any(str(p).startswith("model.families: 'lightgbm' is registered in this process, but not in 2 of 2 workers")
               for p in error.value.problems)  # fmt: skip
    client.run(register, blocks("python"))
    try:
        require_known(client, config)
    finally:
        client.run(forget)


def register(examples: list[str]) -> None:
    for block in examples:
        exec(block, {})


def forget() -> None:
    for registry in REGISTRIES.values():
        for name in [name for name in registry if registry.by(name) == HERE]:
            del registry._entries[name]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["mean"], "'mean' is in every map already; leave it out"),
        (["above_fve"], "did you mean `above_five`"),
        (["above_five", "above_five"], "above_five is listed twice"),
        (["depth"], "'depth' cannot name a layer"),
    ],
)
def test_layers_that_cannot_be_are_refused(names: list[str], problem: str):
    CELL_STATISTICS.register("depth", CELL_STATISTICS["mean"])
    with pytest.raises(ValueError, match=problem):
        Model(statistics=names)
