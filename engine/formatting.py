"""Counts, rates and durations in words."""

_MINUTE, _HOUR = 60, 3600


def plural(noun: str) -> str:
    """Return the plural of a noun, or of a phrase that ends in one: `block` → `blocks`, `family` → `families`."""
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"


def singular(nouns: str) -> str:
    """Return the noun whose `plural` it is."""
    if nouns.endswith("ies"):
        return f"{nouns[:-3]}y"
    return nouns[:-2] if nouns.endswith(("ses", "xes", "zes", "ches", "shes")) else nouns.removesuffix("s")


def counted(n: int, noun: str, many: str | None = None) -> str:
    """Return a count with its noun: `1 block`, `12,345 blocks`, `0 sites`.

    Parameters
    ----------
    n : int
        How many.
    noun : str
        In the singular, with adjectives before it if need be.
    many : str, optional
        Its plural, where `plural` does not know it.
    """
    return f"{n:,} {noun if n == 1 else many or plural(noun)}"


def verb(n: int, one: str, many: str) -> str:
    """Choose the form of a verb that goes with a count: `verb(n, "lies", "lie")`."""
    return one if n == 1 else many


def doing(n: int, noun: str, does: str) -> str:
    """Return a count with its noun and verb: `doing(1, "layer", "holds")` is `1 layer holds`; `2 layers hold`."""
    plain = {"has": "have", "is": "are", "was": "were"}.get(does, does.removesuffix("s"))
    return f"{counted(n, noun)} {verb(n, does, plain)}"


def duration(seconds: float) -> str:
    """Return a duration in words: `under 1 s`, `75 s`, `67 min`, `2 h 5 min`."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def pace(per_second: float, noun: str) -> str:
    """Return a rate in words: `5.3 s per block`, `2.4 min per block`, `12 blocks per second`.

    Parameters
    ----------
    per_second : float
        Pieces of work a second, above 0.
    noun : str
        One piece.
    """
    if per_second >= 1:
        rate = f"{per_second:.0f}" if per_second >= 9.95 else f"{per_second:.1f}"
        return f"{rate.removesuffix('.0')} {noun if rate == '1.0' else plural(noun)} per second"
    seconds = 1 / per_second
    if seconds < 100:
        return f"{seconds:.2g} s per {noun}"
    return (
        f"{seconds / _MINUTE:.2g} min per {noun}" if seconds < 100 * _MINUTE else f"{seconds / _HOUR:.2g} h per {noun}"
    )
