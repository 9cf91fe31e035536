"""Drivers of a trained ensemble: tables over the replicates, and tasks on a cluster."""

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from engine.cube.features import Features
from engine.ensemble.bootstrap import train_ensemble
from engine.ensemble.importance import curves
from engine.models.families import FAMILIES
from engine.models.persistence import Member
from engine.sources.entry import source_spec
from pipelines.soil_carbon.model.drivers import Effects, find_drivers, tabulate

FEATURES = Features.of(
    {
        "ph": source_spec(href="ph.tif", group="soil", label="pH"),
        "cover": source_spec(
            href="c.tif", group="vegetation", label="Land cover", classes={"forest": (1,), "bog": (2,)}
        ),
        "tn": source_spec(href="tn.tif", group="soil", label="Total nitrogen"),
    }
)


def effects(gain, increase, dependence):
    return Effects(np.array(gain, float), np.array(increase, float), tuple(np.array(d, float) for d in dependence))


def test_means_and_spread_over_replicates():
    x = FEATURES.matrix({"ph": np.array([5.0, 6]), "cover": np.array([1, 2]), "tn": np.array([1.0, 1])})
    at = curves(FEATURES, x, 2)
    found = [
        # Columns: ph, forest, bog, tn; rows: ph, cover, tn, then soil and vegetation together.
        effects([10, 5, 15, 70], [0.1, 0.0, 0.5, 0.7, 0.0], [[1, 2], [3, 4], [5]]),
        effects([30, 5, 5, 60], [0.3, -0.1, 0.7, 0.9, -0.1], [[3, 2], [3, 6], [9]]),
    ]
    drivers = tabulate(FEATURES, at, found)
    table = drivers.importance
    assert table["kind"].tolist() == ["covariate"] * 3 + ["group"] * 2
    assert table["covariate"].tolist() == ["tn", "ph", "cover", "", ""]
    assert table["group"].tolist() == ["soil", "soil", "vegetation", "soil", "vegetation"]
    assert table["label"].tolist() == ["Total nitrogen", "pH", "Land cover", "soil", "vegetation"]
    assert table["gain_percent"].tolist() == [65, 20, 15, 85, 15]
    # The soil group's share is 80 and 90: its SD is not that of a sum of SDs.
    assert table["gain_sd"].tolist() == pytest.approx(np.array([5, 10, 5, 5, 5]) * np.sqrt(2))
    assert table["permutation_rmse"].tolist() == pytest.approx([0.6, 0.2, -0.05, 0.8, -0.05])
    assert drivers.notes == ()
    dependence = drivers.partial_dependence
    assert dependence.columns.tolist() == ["covariate", "value", "class", "mean", "lower", "upper"]
    assert dependence["covariate"].tolist() == ["ph", "ph", "cover", "cover", "tn"]
    assert dependence["class"].tolist() == ["", "", "forest", "bog", ""]
    assert dependence["mean"].tolist() == [2, 2, 3, 5, 7]
    # 2.5 and 97.5 % of 1 and 3.
    assert dependence.loc[0, ["lower", "upper"]].tolist() == pytest.approx([1.05, 2.95])


def test_what_could_not_be_measured_is_said():
    nan = np.nan
    at = curves(FEATURES, np.ones((2, 4), "float32"), 1)
    ones = [[1], [1, 1], [1]]
    found = [effects([nan] * 4, [0.1] * 5, ones), effects([25] * 4, [nan] * 5, ones)]
    drivers = tabulate(FEATURES, at, found)
    assert drivers.importance["gain_percent"].tolist() == [50, 25, 25, 50, 50]
    assert drivers.importance["gain_sd"].isna().all()
    assert len(drivers.notes) == 2
    assert "leaves out 1 of 2 replicates: their models have no gain or no split" in str(drivers.notes[0])
    assert "leaves out 1 of 2 replicates with fewer than two sites out of bag" in str(drivers.notes[1])
    none = tabulate(FEATURES, at, [found[0], found[0]])
    assert none.importance["gain_percent"].isna().all()
    assert "the model family has no gain" in str(none.notes[0])


@pytest.mark.parametrize(
    ("names", "gains"), [(("xgboost",), True), (("svm",), False), (("xgboost", "brt"), True)], ids=lambda v: str(v)
)
def test_on_a_cluster(scheduler, tmp_path, names, gains):
    rng = np.random.default_rng(0)
    n, replicates = 80, 6
    table = pd.DataFrame({"ph": rng.normal(6, 0.5, n), "cover": rng.integers(1, 3, n), "tn": rng.normal(2, 0.6, n)})
    table["y"] = 3 + 1.5 * table["tn"] + 0.4 * (table["cover"] == 2) + rng.normal(0, 0.3, n)
    x = FEATURES.matrix({name: table[name].to_numpy() for name in FEATURES.covariates})
    small = {"xgboost": {"n_estimators": 150}, "brt": {"n_estimators": 100}, "svm": {}}
    members = [
        Member(
            family=FAMILIES.find(name),
            parameters={**FAMILIES.find(name).defaults, **small[name]},
            weight=1 / len(names),
        )
        for name in names
    ]
    with Client(scheduler) as client:
        ensemble = train_ensemble(
            client, tmp_path / "ensemble", x, table[["y"]].to_numpy(), FEATURES, np.tile([0.0, 1], (replicates, 1, 1)),
            members, outputs=("0-10",), units="kg m-2", seed=3, version="0",
        )  # fmt: skip
        drivers, again = (find_drivers(client, ensemble, table) for _ in range(2))
    pd.testing.assert_frame_equal(drivers.importance, again.importance)
    importance = drivers.importance[drivers.importance["kind"] == "covariate"].set_index("covariate")
    assert importance["permutation_rmse"].idxmax() == "tn"
    assert importance.loc["tn", "permutation_rmse"] > 5 * importance.loc["ph", "permutation_rmse"]
    if gains:
        assert importance["gain_percent"].sum() == pytest.approx(100)
        assert importance["gain_percent"].idxmax() == "tn"
    else:
        assert importance["gain_percent"].isna().all()
        assert drivers.notes
    dependence = drivers.partial_dependence.set_index("covariate")
    tn, cover = dependence.loc["tn"], dependence.loc["cover"].set_index("class")
    # Between its 1 and 99 % quantiles, 2.8 apart, nitrogen makes some 1.5 × 2.8 kg C/m².
    assert 2 < tn["mean"].iloc[-1] - tn["mean"].iloc[0] < 5
    assert (tn["lower"] <= tn["mean"]).all() and (tn["mean"] <= tn["upper"]).all()
    assert 0.1 < cover.loc["bog", "mean"] - cover.loc["forest", "mean"] < 0.6
