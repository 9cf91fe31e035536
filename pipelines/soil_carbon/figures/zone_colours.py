"""One colour for every zone, by what it means: a forest is the same green in all figures of all runs."""

import hashlib
import re
from collections.abc import Sequence

FOREST, GRASS, WET, SHRUB, BARE, CROP = "#009E73", "#E69F00", "#0072B2", "#CC79A7", "#8C6D31", "#F0E442"
ICE, TOWN = "#56B4E9", "#D55E00"
MEANINGS: tuple[tuple[str, str], ...] = (
    (r"non-?forest|treeless|other", ""),
    (r"wet|peat|bog|\bfens?\b|marsh|mire|swamp|moor|flooded|湿地|沼泽|болот|humedal|humide|feucht|sumpf", WET),
    (r"shrub|scrub|bush|heath|灌|кустарн|matorral|arbust|strauch|gebüsch", SHRUB),
    (r"forest|wood|tree|taiga|needle|broadle|conifer|larch|林|лес|тайга|bosque|for[eê]t|wald", FOREST),
    (r"crop|arable|farm|cultivat|agricult|耕|农|пашн|cultiv|acker", CROP),
    (r"\bbare|barren|sparse|rock|desert|gravel|裸|荒漠|пустын|desnud|\bnu\b|kahl|fels", BARE),
    (r"grass|meadow|steppe|herb|pasture|sedge|tundra|草|луг|степ|тундр|pradera|prairie|wiese|gras", GRASS),
    (r"water|lake|snow|\bice\b|glacier|水|冰|вод|лёд|agua|\beau\b|wasser|\beis\b", ICE),
    (r"urban|city|built|settle|城|город|urbano|ville|stadt", TOWN),
)
"""Words, the first that is met → colour of Okabe & Ito (2008), told apart without colour vision; empty: no meaning."""
PALETTE = (FOREST, GRASS, WET, SHRUB, ICE, TOWN, CROP, BARE)
SPARE = ("#332288", "#882255", "#44AA99", "#999933", "#CC6677", "#117733", "#555555", "#AA4499")
"""Tol's muted scheme: for more zones than Okabe and Ito have colours."""


def zone_colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each zone.

    Zones whose names have a known meaning get its colour; of several with one meaning the first in alphabetical order.
    The others get one that is left, by their names alone: neither the order of the zones nor which of them a
    table holds changes it, unless two names ask for the same.

    Parameters
    ----------
    names : sequence of str
        All zones of a run.

    Returns
    -------
    dict of str to str
        Zone → `#rrggbb`, in the order of the names; all different for up to sixteen.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        colour = meaning(name)
        if colour and colour not in found.values():
            found[name] = colour
    for name in sorted(set(names) - set(found)):
        free = [colour for colour in PALETTE if colour not in found.values()]
        free = free or [colour for colour in SPARE if colour not in found.values()] or list(SPARE)
        found[name] = free[_number(name) % len(free)]
    return {name: found[name] for name in names}


def meaning(name: str) -> str:
    """Return the colour of a zone's name by its meaning, or empty."""
    return next((colour for words, colour in MEANINGS if re.search(words, name, re.IGNORECASE)), "")


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.casefold().encode()).digest()[:4], "big")
