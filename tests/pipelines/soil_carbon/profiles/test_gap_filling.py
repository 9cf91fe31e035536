"""What is filled into layers, from what, and that it is said."""

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.soil_carbon.profiles.gap_filling import fill_layers, fit_bulk_density


def layers(n=12, **changes):
    soc = np.linspace(5, 200, n)
    table = {"soc": soc, "som": np.nan, "bulk_density": 1.4 * np.exp(-0.006 * soc), "coarse_fragments": 10.0}
    frame = pd.DataFrame({**table, **changes})
    return frame.assign(soil_type=pd.Series(changes.get("soil_type", ["Cambisol"] * n), dtype="str"))


def test_exact_exponential_is_recovered():
    table = layers()
    function = fit_bulk_density(table["soc"], table["bulk_density"])
    assert (function.a, function.b) == pytest.approx((1.4, -0.006), rel=1e-6)
    assert function.n == 12
    assert function.r2 == pytest.approx(1)
    assert function.rmse == pytest.approx(0, abs=1e-9)


def test_the_fit_is_least_squares_on_bulk_density_itself():
    rng = np.random.default_rng(3)
    soc = pd.Series(rng.uniform(5, 250, 200))
    bulk_density = 1.4 * np.exp(-0.006 * soc) + rng.normal(0, 0.1, 200).clip(-0.2, 0.2)
    fit = fit_bulk_density(soc, bulk_density)

    def squares(a, b):
        return float(((bulk_density - a * np.exp(b * soc)) ** 2).sum())

    best = squares(fit.a, fit.b)
    assert best < min(
        squares(fit.a * f, fit.b * g) for f in (0.99, 1, 1.01) for g in (0.98, 1, 1.02) if (f, g) != (1, 1)
    )
    assert fit.rmse == pytest.approx(np.sqrt(best / 200))
    assert fit.r2 == pytest.approx(1 - best / float(((bulk_density - bulk_density.mean()) ** 2).sum()))


@pytest.mark.parametrize(
    ("soc", "said"), [(np.linspace(1, 9, 9), "only 9 layers"), (np.full(10, 7.0), "same SOC, 7 g/kg")]
)
def test_too_little_to_fit(soc, said):
    with pytest.raises(InputError, match=said):
        fit_bulk_density(pd.Series(soc), pd.Series(np.full(soc.size, 1.2)))


def test_nothing_missing_nothing_said():
    table = layers()
    filled = fill_layers(table)
    assert list(map(str, filled.notes)) == []
    assert filled.function is None
    pd.testing.assert_frame_equal(filled.layers[table.columns], table)


def test_soc_from_som():
    filled = fill_layers(layers(soc=[np.nan, *np.linspace(10, 200, 11)], som=[100.0, *[300.0] * 11], bulk_density=1.0))
    assert filled.layers["soc"].tolist()[:2] == pytest.approx([58, 10])
    assert filled.layers["soc_from_som"].tolist() == [True] + [False] * 11
    assert list(map(str, filled.notes)) == ["SOC = 0.58 · SOM in 1 layer."]


def test_bulk_density_from_the_fitted_function():
    table = layers()
    table.loc[[2, 5], "bulk_density"] = np.nan
    table.loc[5, "soc"] = np.nan
    filled = fill_layers(table)
    assert filled.layers["bulk_density"][2] == pytest.approx(1.4 * np.exp(-0.006 * table["soc"][2]))
    assert np.isnan(filled.layers["bulk_density"][5])
    assert filled.layers["bulk_density_filled"].to_numpy().nonzero()[0].tolist() == [2]
    assert str(filled.notes[0]).startswith(
        "Bulk density filled in 1 layer: BD = 1.4 · exp(-0.006 · SOC) from 10 layers, R² 1.00"
    )


def test_bulk_density_stays_missing_when_too_few_have_it():
    filled = fill_layers(layers(bulk_density=[1.0] * 9 + [np.nan] * 3))
    assert filled.layers["bulk_density"].isna().sum() == 3
    assert not filled.layers["bulk_density_filled"].any()
    assert filled.unfilled == "only 9 layers have both SOC and bulk density, 10 are needed to fit it"
    assert str(filled.notes[0]).startswith("warning: bulk density is missing in 3 layers and stays so: only 9")


def test_bulk_density_that_rises_with_carbon_is_suspicious():
    table = layers(bulk_density=np.linspace(0.5, 1.5, 12))
    table.loc[0, "bulk_density"] = np.nan
    assert any("rises with SOC" in note for note in map(str, fill_layers(table).notes))


def test_coarse_fragments_from_the_soil_type_then_from_all():
    filled = fill_layers(
        layers(
            coarse_fragments=[10, 20, np.nan, 60, np.nan, np.nan] + [30.0] * 6,
            soil_type=["Cryept", "cryept", "Cryept", "Histel", "Orthel", None] + ["Turbel"] * 6,
        )
    )
    overall = (10 + 20 + 60 + 6 * 30) / 9
    assert filled.layers["coarse_fragments"][2] == pytest.approx(15)
    assert filled.layers["coarse_fragments"][[4, 5]].tolist() == pytest.approx([overall, overall])
    assert filled.layers["coarse_fragments_filled"].sum() == 3
    assert "1 layer with the mean of their soil type" in str(filled.notes[0])
    assert "2 layers with the mean of all layers, 30 %" in str(filled.notes[1])


def test_coarse_fragments_that_nobody_measured_are_none():
    filled = fill_layers(layers(coarse_fragments=np.nan))
    assert (filled.layers["coarse_fragments"] == 0).all()
    assert filled.layers["coarse_fragments_filled"].all()
    assert list(map(str, filled.notes)) == ["Coarse fragments are nowhere given: taken as 0 in all 12 layers."]
