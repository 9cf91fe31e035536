"""Classes recorded at the sites against those of the map."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from engine.sources.entry import source_spec
from pipelines.soil_carbon.profiles.read_profiles import read_profiles
from pipelines.soil_carbon.profiles.site_classes import class_codes

COVER = source_spec(href="cover.tif", classes={"forest": (1, 2), "mire": (31,)})


def test_names_and_stored_codes_are_known():
    recorded = pd.Series(["Forest", " mire", "31", 2, 2.0, np.nan, "bog", 7], dtype=object)
    assert class_codes(recorded, COVER).tolist() == [1, 2, 2, 1, 1, 0, 0, 0]


def table(tmp_path: Path, covers: list[str]) -> Path:
    rows = [
        f"S{i // 2},{120 + i // 2},50,{10 * (i % 2)},{10 * (i % 2) + 10},20,1.2,0,{cover}"
        for i, cover in enumerate(covers)
    ]
    path = tmp_path / "profiles.csv"
    path.write_text("\n".join(["site,lon,lat,top,bottom,soc,bulk_density,coarse_fragments,cover", *rows]))
    return path


def test_the_shallowest_layer_that_has_a_class_counts(tmp_path):
    path = table(tmp_path, ["forest", "mire", "", "mire", "", ""])
    sites = read_profiles(path, ((0, 10),), {}, {"lc": "cover"}, categories={"lc": COVER}).wide()
    assert sites["cover"].tolist()[:2] == ["forest", "mire"] and pd.isna(sites["cover"][2])


def test_a_class_that_the_map_lacks_is_named_once_with_its_first_row(tmp_path):
    path = table(tmp_path, ["forest", "larch bog", "mir", "larch bog"])
    with pytest.raises(InputError) as error:
        read_profiles(path, ((0, 10),), {}, {"lc": "cover"}, categories={"lc": COVER})
    first, second = map(str, error.value.problems)
    assert first.startswith(f"{path}, line 3: site S0: `cover` is 'larch bog' (2 records)")
    assert "valid here: forest, mire" in first and "did you mean `mire`?" in second
