"""Cost of each covariate to the map: cells and sites at which it is missing, alone or with others, and where."""

import math
from dataclasses import dataclass

import numpy as np

from engine.cube.build import DomainMask, is_known
from engine.errors import Finding
from engine.formatting import counted
from pipelines.preflight.sampled_values import Look

_SHOWN = 0.001
"""Share of the domain's land from which on a gap is worth a line."""
_ALL = 0.97
"""Share from which on a part of a gap is all of it, or a side of a parallel all gap."""
_WORTH = 0.2
"""Share of a gap beyond a parallel from which on the parallel is named."""
_BOX = 0.8
"""Share of a box that is the gap, for the box to be named."""


@dataclass(frozen=True)
class Cost:
    """Cost of one covariate.

    Attributes
    ----------
    missing, alone : float
        Share of the domain's land without it, and of that where every other one that was read everywhere is there.
    where : str
        Where it is missing (alone, if it is), or "".
    sites, alone_sites, of_sites : int
        The same of the sites in the domain; `of_sites` is how many were read.
    exact : bool
        Whether it was looked at everywhere, rather than in patches.
    """

    missing: float
    alone: float
    where: str
    sites: int
    alone_sites: int
    of_sites: int
    exact: bool

    def note(self) -> str | None:
        """Describe the cost in words; None if it is negligible."""
        if self.missing < _SHOWN and not self.sites:
            return None
        at = self.where and f" ({self.where})"
        sites = f" of {counted(self.of_sites, 'site')}" if self.of_sites else ""
        if not self.exact:
            text = f"missing on about {self.missing:.0%} of the patches that were looked at"
            return f"{text}, alone costs {self.alone_sites}{sites}" if self.sites else text
        if self.alone < _SHOWN and not self.alone_sites:
            there = f" and at {self.sites}{sites}" if self.sites else ""
            return f"missing on {_share(self.missing)} of the domain{at}{there}, nowhere alone"
        text = f"missing on {_share(self.missing)} of the domain, alone costs {_share(self.alone)} of it{at}"
        return f"{text} and {self.alone_sites}{sites}" if sites else text


def _share(share: float) -> str:
    if 0 < share < _SHOWN:
        return f"less than {_SHOWN:.1%}"
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}"


def costs(look: Look) -> dict[str, Cost]:
    """Return the cost of each covariate."""
    whole = {name: is_known(seen.values) for name, seen in look.seen.items() if seen.values is not None}
    gone = {name: lost for name in look.seen if (lost := look.missing_at_sites(name)) is not None}
    missing_each = np.sum([lost.astype(int) for lost in gone.values()], axis=0) if gone else np.zeros(0)
    land = max(int(look.land.sum()), 1)
    lon, lat = look.lattice.degrees()
    found = {}
    for name in look.seen:
        missing, alone, where = 1 - look.share_known(name), 0.0, ""
        if name in whole:
            gap = look.land & ~whole[name]
            only = gap & np.logical_and.reduce([known for other, known in whole.items() if other != name] or [gap])
            missing, alone = float(gap.sum() / land), float(only.sum() / land)
            shown = only if alone >= _SHOWN else gap
            where = place_of_gap(lon, lat, shown, look.land & (whole[name] | shown))
        lost = gone.get(name, np.zeros(0, bool))
        read = look.seen[name].read
        found[name] = Cost(
            0.0 if math.isnan(missing) else missing, alone, where, int(lost.sum()),
            int((lost & (missing_each == 1)).sum()) if lost.size else 0,
            int((look.sites_in & read).sum()) if read is not None else 0, name in whole,
        )  # fmt: skip
    return found


def place_of_gap(lon: np.ndarray, lat: np.ndarray, gap: np.ndarray, land: np.ndarray) -> str:
    """Describe where a gap lies: beyond a parallel, or in a box of degrees; "" if it is scattered."""
    if not gap.any() or not (land & ~gap).any():
        return ""
    for sign, side in ((1, "north"), (-1, "south")):
        if (found := _parallel(sign * lat[land], gap[land])) is not None:
            parallel, share = found
            text = f"{side} of {abs(parallel):.1f}° {'N' if sign * parallel >= 0 else 'S'}"
            return text if share >= _ALL else f"{share:.0%} of that {text}, where it is missing everywhere"
    west, east = np.percentile(lon[gap], [1, 99])
    south, north = np.percentile(lat[gap], [1, 99])
    within = land & (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    if gap[within].mean() < _BOX or np.mean(within[gap]) < 0.9:
        return ""
    return f"{_degrees(west, east, 'E', 'W')}, {_degrees(south, north, 'N', 'S')}"


def _parallel(latitudes: np.ndarray, missing: np.ndarray) -> tuple[float, float] | None:
    """Return the latitude north of which all is missing, with the share of the gap there; None if that is small.

    It is the one that tells the gap from the rest with the fewest points on the wrong side.
    """
    order = np.argsort(latitudes)
    ordered, gone = latitudes[order], missing[order]
    wrong = np.append(0, np.cumsum(gone)) + np.append(0, np.cumsum(~gone[::-1]))[::-1]
    split = int(np.argmin(wrong))
    beyond = gone[split:]
    if split == 0 or not beyond.size or beyond.mean() < _ALL or beyond.sum() < _WORTH * gone.sum():
        return None
    return float((ordered[split - 1] + ordered[split]) / 2), float(beyond.sum() / gone.sum())


def _degrees(low: float, high: float, positive: str, negative: str) -> str:
    sides = [f"{abs(v):.1f}° {positive if v >= 0 else negative}" for v in (low, high)]
    return f"{sides[0]} to {sides[1]}"


def nothing_left(look: Look, mask: DomainMask | None) -> list[Finding]:
    """Explain why no cell would be mapped: the mask, a covariate without values, or their combination."""
    if not look.seen or not look.lattice.inside.any():
        return []
    whole = {name: is_known(seen.values) for name, seen in look.seen.items() if seen.values is not None}
    if mask and mask.covariate in whole and not look.domain.any() and not look.sites_in.any():
        values = np.asarray(look.seen[mask.covariate].values, "float64")[look.lattice.inside]
        values = values[np.isfinite(values)]
        spread = f"is from {values.min():.4g} to {values.max():.4g} there" if values.size else "has no value there"
        keeps = (
            f"classes number {', '.join(map(str, mask.classes))}" if mask.classes else f"{mask.low:g} to {mask.high:g}"
        )
        return [
            Finding(
                f"no cell of the domain is kept: `{mask.covariate}` {spread}, the mask keeps {keeps}", "domain.mask"
            )
        ]
    nowhere = [name for name in look.seen if look.known_values(name).size == 0]
    where = "where the mask holds" if mask else "in the domain"
    if len(nowhere) == len(look.seen):
        return [
            Finding(
                f"known 0%: none of the covariates has a value {where}, at none of the places that were looked at; "
                "check `domain`, and CRS, extent, `nodata`, `valid_range` and `classes` of the covariates",
                "domain",
            )
        ]
    problems = [
        Finding(
            f"has no value anywhere {where}, so that no cell would be mapped; check its CRS, extent, "
            "`nodata`, `valid_range`, `classes` or `expression`",
            f"covariates.{name}",
        )
        for name in nowhere
        if name in whole
    ]
    if problems or len(whole) < len(look.seen) or not look.land.any():
        return problems
    complete = look.land & np.logical_and.reduce(list(whole.values()))
    gone = [missing for name in look.seen if (missing := look.missing_at_sites(name)) is not None]
    if complete.any() or (gone and (look.sites_in & ~np.logical_or.reduce(gone)).any()):
        return []
    shares = ", ".join(f"{name} {look.share_known(name):.1%}" for name in look.seen)
    return [
        Finding(
            f"no cell has every covariate, so that none would be mapped; the share that each covers: {shares}", "domain"
        )
    ]
