"""Names and notes as the report prints them."""

import pytest

from pipelines.soil_carbon.formatting import named, typeset


def test_families_and_schemes_as_papers_write_them():
    assert [named(key) for key in ("rf", "xgboost", "knndm", "random", "my_family")] == [
        "RF", "XGBoost", "kNNDM", "random", "my_family",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("note", "printed"),
    [
        ("0-10 cm: 147 of 147 profiles used", "0–10 cm: 147 of 147 profiles used"),
        ("0-12.5 cm within zones", "0–12.5 cm within zones"),
        ("BD = 1.432 · exp(-0.00494 · SOC)", "BD = 1.432 · exp(−0.00494 · SOC)"),
        ("check them at BY-0067, mid-land (cold-2)", "check them at BY-0067, mid-land (cold-2)"),
    ],
)
def test_notes_get_dashes_and_true_minus_signs_and_names_stay(note, printed):
    assert typeset(note) == printed
