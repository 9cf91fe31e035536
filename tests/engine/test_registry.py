"""Registries: what is registered in a process, and what installed packages offer as entry points."""

import sys
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.execution.cluster import local_client
from engine.models.families import FAMILIES
from engine.registry import HERE, OWN, Registry, packages_offering

GROUP = "gelisol.families"
EXTRA = 'Family("extra", "sklearn.ensemble.ExtraTreesRegressor", {"n_estimators": 3})'


def install(folder: Path, package: str, offers: str, code: str) -> None:
    """What an installer leaves of a package, in a folder of the path."""
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{offers}\n")
    (folder / f"{package}.py").write_text(code)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    packages_offering.cache_clear()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of worker processes
    yield lambda package, offers, code: install(tmp_path, package, offers, code)
    packages_offering.cache_clear()
    for package in ("wood", "stone"):
        sys.modules.pop(package, None)


def numbers() -> Registry[int]:
    return Registry("gelisol.numbers", "number", int)


def test_what_is_registered_is_found_by_name():
    registry = numbers()
    assert registry.register("one", 1) == 1 and list(registry) == ["one"] and registry["one"] == 1
    assert registry.find("one") == 1 and registry.by("one") == HERE and registry.by("two") == ""
    assert "two" not in registry and len(registry) == 1
    with pytest.raises(InputError, match=r"a\.key: 'onne' is not among one; did you mean `one`"):
        registry.find("onne", "a.key")


def test_a_decorator_registers_and_gives_back_what_it_decorates():
    registry = Registry("gelisol.classes", "class", type)

    @registry.register("mine")
    class Mine:
        pass

    assert registry["mine"] is Mine


def test_a_name_is_not_taken_twice_unless_asked():
    registry = numbers()
    registry.register("own", 1, by=OWN)
    registry.register("mine", 2)
    with pytest.raises(InputError, match="'mine' is taken by this process; pass replace=True"):
        registry.register("mine", 3)
    assert registry.register("mine", 3, replace=True) == registry["mine"] == 3
    with pytest.raises(InputError, match="'own' is taken by gelisol"):
        registry.register("own", 4, replace=True)


def test_what_is_of_another_kind_is_refused():
    with pytest.raises(InputError, match="'mine' of this process is str; expected int"):
        numbers().register("mine", "three")  # type: ignore[call-overload]


def test_a_package_offers_by_entry_points(installed):
    installed("wood", "extra = wood:EXTRA", f"from engine.models.families import Family\nEXTRA = {EXTRA}\n")
    registry = Registry(GROUP, "family", type(FAMILIES["rf"]))
    registry.register("rf", FAMILIES["rf"], by=OWN)
    assert list(registry) == ["rf", "extra"] and registry["extra"].defaults == {"n_estimators": 3}
    assert registry.by("extra") == "wood 1.2" and packages_offering(GROUP) == ("wood",)


def test_workers_know_what_a_package_offers(installed):
    installed("wood", "extra = wood:EXTRA", f"from engine.models.families import Family\nEXTRA = {EXTRA}\n")
    with local_client(workers=1) as client:
        family, versions = client.submit(look_up).result()
    assert family.kind().__name__ == "ExtraTreesRegressor" and versions["wood"] == "1.2"


def look_up():
    from engine.execution.versions import packages

    return FAMILIES.find("extra"), packages()


@pytest.mark.parametrize(
    ("offers", "code", "problem"),
    [
        ("extra = wood:NONE", "", "wood 1.2 offers 'extra', but wood:NONE cannot be loaded: AttributeError"),
        ("extra = wood:EXTRA", "EXTRA = 3", "'extra' of wood 1.2 is int; expected Family"),
        ("rf = wood:EXTRA", "EXTRA = 3", "gelisol and wood 1.2 both offer 'rf'; uninstall one of them"),
    ],
)
def test_a_package_that_offers_nothing_sound_is_named(installed, offers: str, code: str, problem: str):
    installed("wood", offers, code)
    registry = Registry(GROUP, "family", type(FAMILIES["rf"]))
    registry.register("rf", FAMILIES["rf"], by=OWN)
    with pytest.raises(InputError) as error:
        registry.find("extra")
    assert problem in str(error.value)


def test_two_packages_do_not_share_a_name(installed):
    for package in ("wood", "stone"):
        installed(package, f"extra = {package}:EXTRA", "EXTRA = 1")
    with pytest.raises(InputError, match="both offer 'extra'"):
        Registry(GROUP, "family", int).find("extra")
