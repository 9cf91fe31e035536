"""Folders of the user that hide the packages that gelisol is built on."""

from importlib.util import find_spec
from pathlib import Path

ROOMS = ("engine", "pipelines")
"""Packages that are installed beside `gelisol`."""


def require_own_rooms() -> None:
    """Refuse to go on with packages `engine` and `pipelines` that are not those installed beside this one.

    Raises
    ------
    ImportError
        If Python finds another folder or file of that name first; names both.
    """
    home = Path(__file__).resolve().parents[1]
    for name in ROOMS:
        expected, found = home / name, _found(name)
        if found is not None and found != expected:
            raise ImportError(
                f"gelisol needs its own package `{name}` ({expected}), but Python finds {found} first. Rename that "
                "one, or start Python in another folder.",
                name=name,
                path=str(found),
            )


def _found(name: str) -> Path | None:
    """Return the folder or file that `import name` takes; None if it is absent, which the import itself reports."""
    try:
        spec = find_spec(name)
    except ValueError:  # put into sys.modules by hand
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    place = places[0] if places else spec.origin
    return None if place is None else Path(place).resolve()
