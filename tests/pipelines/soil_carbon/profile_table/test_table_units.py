"""Units, angles, depth intervals and numbers as people write them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.runfile.column_units import conversion, ratio
from pipelines.runfile.depth_intervals import Interval, interval_of
from pipelines.soil_carbon.profile_table.angles import angle
from pipelines.soil_carbon.profile_table.fields import Notation, read_numbers


@pytest.mark.parametrize(
    ("column", "value", "units", "expected"),
    [
        ("soc", 2.5, ("%", "percent", "wt%", "g/100g", "g (100 g)-1", "g/100 g", "wt.%",
                     "[%]", "% by weight", "weight percent"), 25.0),
        ("soc", 25, ("g/kg", "g kg-1", "g kg^-1", "g·kg⁻¹", "g C kg-1", "g C / kg soil", "mg g−1", "‰", "kg/t", "gC/kg",
                     "g-C kg-1", "mgC/g", "(g/kg)", "g kg^{-1}", "g kg -1", "g/Kg", "permil", "g per kg"), 25),
        ("soc", 0.025, ("g/g", "kg/kg", "kg kg-1", "fraction"), 25),
        ("soc", 25_000, ("mg/kg", "mg kg-1", "ppm", "µg/g", "ug g-1", "μg g⁻¹", "g/t"), 25),
        ("som", 2_500, ("cg/kg",), 25),
        ("tn", 250, ("dg/kg",), 25),
        ("bulk_density", 1.3, ("g/cm3", "g cm-3", "g/cm³", "g·cm⁻³", "g cm^-3", "Mg/m3", "Mg m-3", "t/m3", "kg/dm3",
                               "kg/l", "kg/L", "g/cc", "gr/cm3", "Mg per m3"), 1.3),
        ("bulk_density", 1300, ("kg/m3", "kg m-3", "kg*m**-3", "Kg/m3", "g/l", "mg cm-3"), 1.3),
        ("bulk_density", 130, ("cg/cm3",), 1.3),
        ("top", 30, ("cm", "centimetres"), 30),
        ("bottom", 0.3, ("m", "metres"), 30),
        ("depth", 300, ("mm",), 30),
        ("thickness", 12, ("in", "inch", "inches", '"'), 30.48),
        ("coarse_fragments", 12, ("%", "vol%", "vol %", "% volume", "volume %"), 12),
        ("coarse_fragments", 0.12, ("fraction", "vol fraction", "cm3/cm3", "m3 m-3", "cm³ cm⁻³", "1"), 12),
        ("socd_0-30", 9, ("kg/m2", "kg C m-2", "kg m^-2", "kg/m²"), 9),
        ("socd_0-30", 90, ("t/ha", "t C ha-1", "Mg/ha", "Mg ha⁻¹", "Mg C ha-1"), 9),
        ("socd_0-100", 0.9, ("g/cm2", "g cm-2"), 9),
        ("socd_0-30", 9000, ("g/m2", "g C m⁻²"), 9),
    ],
)  # fmt: skip
def test_spellings_of_one_unit_are_one_unit(column, value, units, expected):
    for unit in units:
        assert value * conversion(column, unit).factor == pytest.approx(expected), unit


def test_letters_of_another_case_are_another_unit():
    assert conversion("bulk_density", "Mg/m3").factor == 1000 * conversion("bulk_density", "kg/m3").factor
    for column, unit in (("bulk_density", "mg/m3"), ("soc", "M"), ("top", "M"), ("soc", "kg"), ("socd_0-30", "%")):
        with pytest.raises(ValueError, match=f"not a unit of `{column}`; valid here"):
            conversion(column, unit)


def test_units_of_a_covariate():
    assert ratio("%", "g/kg") == pytest.approx(10)
    assert ratio("degC", "degC") == 1
    assert ratio("degC", "mm") is None and ratio("g/kg", "cm") is None


def test_units_that_the_guards_suggest_can_be_given():
    for column, units in {
        "soc": ("%", "g/g", "dg/kg", "mg/kg"), "bulk_density": ("kg/m3", "cg/cm3"), "top": ("mm", "m", "inch"),
        "coarse_fragments": ("fraction",), "tn": ("mg/kg", "%"), "socd_0-30": ("t/ha", "g/m2"),
    }.items():  # fmt: skip
        assert all(conversion(column, unit).factor != 1 for unit in units)


@pytest.mark.parametrize(
    ("text", "axis", "expected"),
    [
        ("121°30'15\"E", "lon", 121 + 30 / 60 + 15 / 3600),
        ("121 30 15 E", "lon", 121 + 30 / 60 + 15 / 3600),
        ("-121:30:15", "lon", -(121 + 30 / 60 + 15 / 3600)),
        ("W 121° 30′", "lon", -121.5),
        ("121°30'15''W", "lon", -(121 + 30 / 60 + 15 / 3600)),
        ("N51.5", "lat", 51.5),
        ("51,5 S", "lat", -51.5),
        ("51° 30,25' N", "lat", 51 + 30.25 / 60),
        ("51º30´15,5″N", "lat", 51 + 30 / 60 + 15.5 / 3600),
        ("东经121度30分15秒", "lon", 121 + 30 / 60 + 15 / 3600),
        ("51d30m north", "lat", 51.5),
        ("E: 121°30'15\"", "lon", 121 + 30 / 60 + 15 / 3600),
        ("121-30-15.0E", "lon", 121 + 30 / 60 + 15 / 3600),
        ("51°30', N", "lat", 51.5),
    ],
)
def test_angles(text, axis, expected):
    assert angle(text, axis) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "axis"),
    [("51.5E", "lat"), ("121 75 0 E", "lon"), ("121 0 60", "lon"), ("-121 E", "lon"), ("1.5 30 N", "lat"),
     ("190 E", "lon"),
     ("E 121 W", "lon"), ("north of here", "lat"), ("121 O", "lon"), ("121130E", "lon"), ("", "lon")],
)  # fmt: skip
def test_what_is_not_an_angle(text, axis):
    with pytest.raises(ValueError):
        angle(text, axis)


@settings(deadline=None)
@given(st.integers(0, 179), st.integers(0, 59), st.integers(0, 59), st.sampled_from("EW"))
def test_angles_in_any_form_are_one(degrees, minutes, seconds, letter):
    expected = (degrees + minutes / 60 + seconds / 3600) * (1 if letter == "E" else -1)
    for form in ("{0}°{1}'{2}\"{3}", "{0} {1} {2} {3}", "{3}{0}:{1}:{2}", "{0}° {1:02d}′ {2:02d}″ {3}"):
        assert angle(form.format(degrees, minutes, seconds, letter), "lon") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-10", (0, 10, None)), ("0–10 cm", (0, 10, "cm")), ("0 to 10", (0, 10, None)), ("(0-10)", (0, 10, None)),
        ("0 cm - 10 cm", (0, 10, "cm")), ("2,5-7", (2.5, 7, None)), ("-8 - 0", (-8, 0, None)),
        ("-8--3", (-8, -3, None)), ("7-2", (7, 2, None)), ("0…10", (0, 10, None)), ("0~10", (0, 10, None)),
        ("0-0.1m", (0, 0.1, "m")), ("0−10", (0, 10, None)), ("０－１０", (0, 10, None)), ("0-10厘米", (0, 10, "cm")),
        ("0-10 см", (0, 10, "cm")), ("from 0 to 10", (0, 10, None)), ("0 - 10 centimeters", (0, 10, "centimeters")),
        ("30-?", (30, None, None)), ("below 30", (30, None, None)),
        ("100+", (100, None, None)), ("> 100 cm", (100, None, "cm")), ("100-", (100, None, None)),
    ],
)  # fmt: skip
def test_depth_intervals(text, expected):
    assert interval_of(text, ",") == Interval(*expected)


def test_brackets_of_mathematics_hold_an_interval():
    assert interval_of("(0,10]", ".") == Interval(0, 10, None)


@pytest.mark.parametrize("text", ["10", "Oct-12", "10-12-2020", "A-B", "0-10-20", "", "0-10 furlongs", "0 cm - 1 m"])
def test_what_is_not_an_interval(text):
    with pytest.raises(ValueError):
        interval_of(text, ".")


@settings(deadline=None)  # the first example loads what it needs
@given(
    st.lists(st.floats(-1e7, 1e7, allow_subnormal=False).map(lambda v: round(v, 3)), min_size=1, max_size=20),
    st.sampled_from([(".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (".", None), (",", None)]),
)
def test_numbers_come_back_however_they_are_written(numbers, marks):
    decimal, thousands = marks
    text = [f"{v:,.4f}".replace(",", "T").replace(".", "D") for v in numbers]
    text = [t.replace("T", thousands or "").replace("D", decimal) for t in text]
    fields = read_numbers(pd.Series(text), Notation(decimal, thousands))
    assert not fields.kinds
    np.testing.assert_allclose(fields.values, numbers, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "notation", "kind"),
    [
        ("1,234", Notation(), "comma"), ("1,234.5", Notation(), "thousands"), ("1.234,5", Notation(), "thousands"),
        ("1 234", Notation(), "thousands"), ("12.345", Notation(","), "thousands"), ("n.d.", Notation(), "marker"),
        ("<0.5", Notation(), "limit"), ("#DIV/0!", Notation(), "marker"), ("about 5", Notation(), "other"),
        ("inf", Notation(), "other"), ("1e999", Notation(), "other"), ("12,34", Notation(thousands=","), "comma"),
        ("1,2345", Notation(thousands=","), "comma"), (">50", Notation(), "other"), ("1_000", Notation(), "other"),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_not_read(text, notation, kind):
    fields = read_numbers(pd.Series([text, "1"]), notation)
    assert fields.kinds == {0: kind}
    assert np.isnan(fields.values[0]) and fields.values[1] == 1


def test_missing_values_by_word_and_number():
    column = pd.Series(["-9999", "-9999.00", "N.D.", "", "NA", "nan", "None", "3", -9999, -9999.0, None], dtype=object)
    fields = read_numbers(column, Notation(missing=(-9999.0, "n.d.")))
    assert not fields.kinds and fields.values.dropna().tolist() == [3]
    unlisted = read_numbers(column, Notation())
    assert unlisted.kinds == {2: "marker"}


def test_signs_of_other_keyboards_are_the_same_number():
    fields = read_numbers(pd.Series(["−5", "－５．５", "1\xa0000", "5"]), Notation(thousands=" "))
    assert fields.values.tolist() == [-5, -5.5, 1000, 5]
