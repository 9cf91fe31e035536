"""Patterns, dates in names, and which steps a source may have."""

from pathlib import Path

import pytest

from engine.errors import InputError
from engine.sources.calendar import check_steps
from engine.sources.entry import source_spec
from engine.sources.files import Step, find


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "ndvi.2001.h25v03.tif", "ndvi.2001.h26v03.tif", "ndvi.2002.h25v03.tif", "ndvi.2003.h25v03.tif",
        "ndvi.2001.h25v03.tif.aux.xml", "tmp_2001_07.tif", "tmp_2001_01.tif", "tmp_2002_07.tif",
        "mod.A2001001.tif", "mod.A2001060.tif", "mod.A2000060.tif", "clim_01.tif", "clim_07.tif",
        "a1.tif", "a2.tif", "a10.tif",
    ):  # fmt: skip
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "raw" / name).touch()
    return tmp_path


def names(folder: Path, href, **entries) -> dict[str, tuple[int, int]]:
    found = find("v", source_spec(href=href, **entries), folder)
    return {path.name: (step.year, step.month) for path, step in found.items()}


def test_one_file(folder):
    assert names(folder, "raw/a1.tif") == {"a1.tif": (0, 0)}
    assert names(folder, str(folder / "raw/a1.tif")) == {"a1.tif": (0, 0)}


def test_patterns(folder):
    assert list(names(folder, "raw/a?.tif")) == ["a1.tif", "a2.tif"]
    assert list(names(folder, "raw/a*.tif")) == ["a1.tif", "a10.tif", "a2.tif"]
    assert list(names(folder, ("raw/a2.tif", "raw/a1.tif"))) == ["a1.tif", "a2.tif"]


def test_years_in_names(folder):
    assert names(folder, "raw/ndvi.{year}.h*v*.tif", period=(2001, 2002)) == {
        "ndvi.2001.h25v03.tif": (2001, 0),
        "ndvi.2001.h26v03.tif": (2001, 0),
        "ndvi.2002.h25v03.tif": (2002, 0),
    }
    assert len(names(folder, "raw/ndvi.{year}.h*v*.tif")) == 4


def test_months_and_days_in_names(folder):
    assert names(folder, "raw/tmp_{year}_{month}.tif", months=(7,)) == {
        "tmp_2001_07.tif": (2001, 7),
        "tmp_2002_07.tif": (2002, 7),
    }
    # Sorted by date; day 60 is the 29th of February in a leap year, else the 1st of March.
    assert list(names(folder, "raw/mod.A{year}{doy}.tif").items()) == [
        ("mod.A2000060.tif", (2000, 2)),
        ("mod.A2001001.tif", (2001, 1)),
        ("mod.A2001060.tif", (2001, 3)),
    ]


def test_months_without_years(folder):
    """A climatology in one file a month."""
    assert names(folder, "raw/clim_{month}.tif", months=(7,)) == {"clim_07.tif": (0, 7)}


def test_nothing_matches(folder):
    with pytest.raises(InputError) as error:
        names(folder, ("raw/none.tif", "raw/none_*.tif", "raw/a1.tif"))
    assert list(map(str, error.value.problems)) == [
        f"covariates.v.href: no such file: {folder / 'raw/none.tif'}",
        f"covariates.v.href: no file matches {folder / 'raw/none_*.tif'}",
    ]


def test_nothing_in_the_period(folder):
    with pytest.raises(InputError, match=r"covariates.v: the files are of 2001–2003, none is in period \[2010, 2020\]"):
        names(folder, "raw/ndvi.{year}.h*v*.tif", period=(2010, 2020))
    with pytest.raises(InputError, match=r"covariates.v: the files are of months \[1, 7\], none is in .*months \[2\]"):
        names(folder, "raw/clim_{month}.tif", months=(2,))


def check(steps: list[tuple[int, int]], **entries) -> None:
    check_steps("v", source_spec(href="x", **entries), [Step(*step) for step in steps])


def test_dates_that_are_asked_for_must_be_known():
    check([(2001, 0)], period=(2001, 2002))
    check([(0, 7)], months=(7,))
    with pytest.raises(InputError, match=r"covariates.v.period: neither the files nor their names are dated.*\{year\}"):
        check([(0, 0)], period=(2001, 2002))
    with pytest.raises(InputError, match=r"covariates.v.months: .*\{month\} or \{doy\}"):
        check([(2001, 0)], months=(7,))


def test_incomplete_years_have_no_sum():
    year = [(2001, m) for m in range(1, 13)]
    check(year + [(2002, m) for m in range(1, 13)], reduce="annual_sum")
    check([*year, (2002, 1)], reduce="mean")
    with pytest.raises(InputError, match=r"covariates.v: annual_sum needs 12 steps a year; 2002 has 11. Narrow"):
        check(year + [(2002, m) for m in range(1, 12)], reduce="annual_sum")


def test_leap_years_are_no_better_than_others():
    check([(2000, 1)] * 366 + [(2001, 1)] * 365, reduce="annual_sum")
    with pytest.raises(InputError, match="2001 has 364"):
        check([(2000, 1)] * 366 + [(2001, 1)] * 364, reduce="annual_sum")


def test_classes_have_one_step():
    check([(2001, 0)], classes={"a": (1,)})
    with pytest.raises(InputError, match=r"covariates.v: classes of 2 time steps cannot be reduced"):
        check([(2001, 0), (2002, 0)], classes={"a": (1,)})
