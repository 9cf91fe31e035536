"""Rules of the verdict on a run's totals, see docs/verdict.md: `supported`, `weak` or `none`.

A pure function from a small typed value, `Evidence`, to a `Verdict`. Worse evidence never gives a better verdict.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict
from scipy.special import bdtr, bdtrc

from engine.formatting import counted
from pipelines.soil_carbon.formatting import depth_text, fixed, named, number

Level = Literal["supported", "weak", "none"]
LEVELS: tuple[Level, ...] = ("supported", "weak", "none")
"""From the best to the worst."""

STANDS_FOR_THE_MAP = ("knndm", "block")
"""Schemes that answer for a map rather than for places between the sites, the nearest to its question first."""
LITTLE_SKILL = 0.1
"""Skill below which the map is hardly better than the mean: an R² of 0.1 takes 5 % off the error."""
SHORTFALL = 0.05
"""By how much coverage may miss its nominal share: intervals that hold 85 % instead of 90 % still serve."""
NOISE = 2.0
"""Standard errors within which a share or a bias may be off by chance."""
BY_CHANCE = 0.05
"""Chance that any group of sites of a depth, at any level, is called off although all intervals are honest."""
OUTSIDE = 0.1
"""Share of the area outside the area of applicability that a total bears: errors there, of which nothing is known, can
be as large as the densities, and so move the total by as much as the 95 % range of a good map."""
SAME_SKILL = 0.02
"""R² of two families within which neither is the better one: repeats of one family differ as much."""
FEWEST_SITES = 30
"""Sites below which squared errors, of which a few make up the sum, give no reliable standard error."""
FEWEST_GROUPS = 5.0
"""Effective groups of neighbouring sites below which the same holds for the groups."""
SHIFT = 0.3
"""By how many SDs of a zone's map its sites may lie on richer or poorer ground than its cells: sites at random, 147 of
them, stay within 0.2; sites drawn to carbon go beyond 0.4 (`benchmarks/README.md`)."""
BIAS = 0.1
"""Bias at independent sites as a share of what was observed there: a total would be off by as much, which is more than
the 95 % range of a good map."""

CONCLUSIONS: Mapping[Level, str] = {
    "supported": "The validation supports this map and its totals.",
    "weak": "The validation supports this map and its totals with reservations.",
    "none": "The validation shows no skill over the mean of the sites: "
    "the total is the area times that mean in a map’s dress.",
}
"""What follows, in one sentence."""
OF_MEANS: Mapping[Level, str] = {
    "supported": "The validation supports this map and its means.",
    "weak": "The validation supports this map and its means with reservations.",
    "none": "The validation shows no skill over the mean of the sites: the map is that mean in a map’s dress.",
}
"""The same of what has no totals."""


class Value(BaseModel):
    """Immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SkillFound(Value):
    """Skill over the mean of the training sites; the bounds hold with 95 % confidence each, None where unknown."""

    value: float
    lower: float | None
    upper: float | None
    n: int
    groups: float
    rmse: float
    rmse_of_mean: float


class Covered(Value):
    """Share of observations that intervals of a nominal level held."""

    nominal: float
    measured: float
    n: int


class CoveredGroup(Covered):
    """The same of a group of sites, which `group` names in words."""

    group: str


class Independent(Value):
    """The map at sites that never trained it; bias and its standard error in the map's units."""

    skill: SkillFound
    bias: float
    bias_se: float | None
    observed_mean: float
    coverage: tuple[Covered, ...] = ()


class SiteShift(Value):
    """How much richer the sites' ground is than their zones' cells, in SDs of the map; the zones' mean."""

    value: float
    sites: int


class AtDepth(Value):
    """Evidence for the total of one depth, under the scheme that stands for the map."""

    depth: str
    skill: SkillFound | None
    coverage: tuple[Covered, ...] = ()
    groups: tuple[CoveredGroup, ...] = ()
    independent: Independent | None = None


class Evidence(Value):
    """Evidence that the rules judge.

    Attributes
    ----------
    schemes : tuple of str
        Of the cross-validation, as the run file lists them.
    depths : tuple of AtDepth
        The modelled depth first.
    outside : float
        Share of the mapped area outside the area of applicability.
    skills : mapping
        Scheme → family → skill at the modelled depth.
    mapped : str
        What is mapped, as in `skills`.
    units : str
        Of densities, as people write them.
    shift : SiteShift or None
        None where it cannot be known.
    """

    schemes: tuple[str, ...]
    depths: tuple[AtDepth, ...]
    outside: float
    skills: Mapping[str, Mapping[str, float]]
    mapped: str
    units: str = "kg C/m²"
    shift: SiteShift | None = None

    @property
    def scheme(self) -> str:
        """The scheme that stands for the map."""
        return standing_scheme(self.schemes)


class Reason(Value):
    """One finding: what it limits the verdict to, for one depth or all, as a code and as a sentence."""

    code: str
    level: Level
    depth: str | None
    text: str


class Verdict(Value):
    """Verdict on the whole run and on each depth.

    The run is `none` where its modelled depth is, from which the others follow; else a depth that is `none` leaves it
    `weak`, and only the total of that depth without support.
    """

    level: Level
    reasons: tuple[Reason, ...]
    depths: Mapping[str, Level]
    has_totals: bool = True

    @property
    def conclusion(self) -> str:
        """Conclusion in one sentence."""
        return (CONCLUSIONS if self.has_totals else OF_MEANS)[self.level]

    @property
    def against(self) -> tuple[Reason, ...]:
        """Reasons for a verdict that is not `supported`, those that weigh most first."""
        limiting = [reason for reason in self.reasons if reason.level != "supported"]
        return tuple(sorted(limiting, key=lambda reason: -LEVELS.index(reason.level)))

    def governing(self) -> tuple[Reason, ...]:
        """Return reasons that the verdict rests on: those against it or, without any, those for it."""
        return self.against or self.reasons


def standing_scheme(schemes: Iterable[str]) -> str:
    """Return the scheme that stands for the map: kNNDM, else blocks, else the only one there is."""
    listed = list(schemes)
    return next((scheme for scheme in STANDS_FOR_THE_MAP if scheme in listed), listed[0])


def judge(evidence: Evidence, has_totals: bool = True) -> Verdict:
    """Apply the rules; `has_totals` is false of what makes no stocks."""
    shared = [*_of_schemes(evidence), *_of_families(evidence), *_of_area(evidence.outside), *_of_sites(evidence)]
    by_depth = {at.depth: list(_at_depth(at, evidence.scheme, evidence.units)) for at in evidence.depths}
    depths = {depth: _worst([*shared, *found]) for depth, found in by_depth.items()}
    reasons = (*(reason for found in by_depth.values() for reason in found), *shared)
    modelled, *others = depths.values()
    level: Level = "none" if modelled == "none" else "weak" if "none" in others else _worst(reasons)
    return Verdict(level=level, reasons=reasons, depths=depths, has_totals=has_totals)


def _worst(reasons: Iterable[Reason]) -> Level:
    return LEVELS[max((LEVELS.index(reason.level) for reason in reasons), default=0)]


def _at_depth(at: AtDepth, scheme: str, units: str) -> Iterator[Reason]:
    yield from _of_skill(at, scheme, units)
    yield from _of_coverage(at.coverage, at.depth, f"{named(scheme)} folds", "coverage")
    if not at.coverage:
        text = "The coverage of the prediction intervals was not measured (model.validation.coverage)."
        yield Reason(code="coverage_not_measured", level="weak", depth=at.depth, text=text)
    yield from _of_groups(at.groups, at.depth, f"{named(scheme)} folds")
    if at.independent:
        yield from _of_independent(at.independent, at.depth, units)


def _of_skill(at: AtDepth, scheme: str, units: str) -> Iterator[Reason]:
    skill = at.skill
    if skill is None or not skill.n:
        text = f"{depth_text(at.depth)}: no site was held out, so that nothing is known of the skill."
        yield Reason(code="not_validated", level="none", depth=at.depth, text=text)
        return
    sure = f", at least {fixed(skill.lower)} with 95 % confidence" if skill.lower is not None else ""
    found = (
        f"{depth_text(at.depth)}, {named(scheme)} folds: R² over the mean of the training sites is "
        f"{fixed(skill.value)}{sure} (RMSE {number(skill.rmse)} against {number(skill.rmse_of_mean)} {units}; "
        f"{counted(skill.n, 'site')} in about {skill.groups:.0f} independent groups)"
    )

    def reason(code: str, level: Level, rest: str) -> Reason:
        return Reason(code=code, level=level, depth=at.depth, text=f"{found}{rest}")

    if not skill.value > 0:
        yield reason("no_skill", "none", ": sites are predicted no better than by that mean.")
    elif skill.lower is None or skill.lower <= 0:
        yield reason("skill_within_noise", "none", ", which is not distinguishable from no skill.")
    elif skill.value < LITTLE_SKILL:
        yield reason("little_skill", "weak", ", which is little.")
    else:
        yield reason("skill", "supported", ".")
    if skill.n < FEWEST_SITES or skill.groups < FEWEST_GROUPS:
        text = (
            f"{depth_text(at.depth)}: {counted(skill.n, 'site')} in about {skill.groups:.0f} independent groups are "
            "too few to tell how sure the skill is."
        )
        yield Reason(code="too_few_sites", level="weak", depth=at.depth, text=text)


def _of_coverage(coverage: Iterable[Covered], depth: str, where: str, code: str) -> Iterator[Reason]:
    """Yield the level with the largest shortfall, if one exceeds chance and the tolerance."""

    def excess(covered: Covered) -> float:
        chance = NOISE * (covered.nominal * (1 - covered.nominal) / max(covered.n, 1)) ** 0.5
        return covered.nominal - covered.measured - max(SHORTFALL, chance)

    worst = max(coverage, key=excess, default=None)
    if worst and excess(worst) > 0:
        text = (
            f"{depth_text(depth)}, {where}: {100 * worst.nominal:g} % prediction intervals hold "
            f"{100 * worst.measured:.0f} % of {counted(worst.n, 'observation')}; they are too narrow."
        )
        yield Reason(code=f"{code}_too_low", level="weak", depth=depth, text=text)


def _of_groups(groups: Sequence[CoveredGroup], depth: str, where: str) -> Iterator[Reason]:
    """Yield the group whose intervals are the most too narrow, and that whose are the most too wide, if any are.

    All groups and levels are looked at, so that each must be off by more than chance would do once in as many.
    """

    def off(side: int) -> list[CoveredGroup]:
        """Return those that are off to one side, the farthest first."""
        found = []
        for one in groups:
            held = round(one.measured * one.n)
            # Of as few, or as many, being held if the interval is honest and sites are independent.
            chance = bdtr(held, one.n, one.nominal) if side < 0 else bdtrc(held - 1, one.n, one.nominal)
            if side * (one.measured - one.nominal) > SHORTFALL and chance < BY_CHANCE / 2 / len(groups):
                found.append(one)
        return sorted(found, key=lambda one: side * (one.nominal - one.measured))

    kinds: tuple[tuple[int, str, Level, str], ...] = (
        (-1, "coverage_too_low_in_group", "weak", "narrow"),
        (1, "coverage_too_high_in_group", "supported", "wide"),
    )
    for side, code, level, fault in kinds:
        if found := off(side):
            worst, *others = found
            further = len({one.group for one in others} - {worst.group})
            also = f", and in {counted(further, 'other group')} of sites" if further else ""
            text = (
                f"{depth_text(depth)}, {where}, {worst.group}: {100 * worst.nominal:g} % prediction intervals hold "
                f"{100 * worst.measured:.0f} % of {counted(worst.n, 'observation')}; they are too {fault} there"
                f"{also}."
            )
            yield Reason(code=code, level=level, depth=depth, text=text)


def _of_independent(found: Independent, depth: str, units: str) -> Iterator[Reason]:
    skill = found.skill
    if not skill.n:
        return
    at = f"{depth_text(depth)}, at {counted(skill.n, 'independent site')}"
    text = (
        f"{at}: R² over the mean of the training sites is {fixed(skill.value)} "
        f"(RMSE {number(skill.rmse)} against {number(skill.rmse_of_mean)} {units})"
    )
    if skill.upper is not None and skill.upper < 0:
        worse = f"{text}, beyond chance: that mean does better."
        yield Reason(code="independent_worse", level="none", depth=depth, text=worse)
    elif skill.value < LITTLE_SKILL:
        no_better = f"{text}: the map does {'hardly' if skill.value > 0 else 'no'} better than that mean."
        yield Reason(code="independent_no_skill", level="weak", depth=depth, text=no_better)
    else:
        yield Reason(code="independent_skill", level="supported", depth=depth, text=f"{text}.")
    sure = found.bias_se is not None and abs(found.bias) > NOISE * found.bias_se
    if sure and abs(found.bias) > BIAS * abs(found.observed_mean):
        text = (
            f"{at}: the map is {number(abs(found.bias))} {units} too {'high' if found.bias > 0 else 'low'} on average, "
            f"where {number(found.observed_mean)} were observed."
        )
        yield Reason(code="independent_bias", level="weak", depth=depth, text=text)
    yield from _of_coverage(found.coverage, depth, "independent sites", "independent_coverage")


def _of_schemes(evidence: Evidence) -> Iterator[Reason]:
    if evidence.scheme not in STANDS_FOR_THE_MAP:
        random = evidence.scheme == "random"
        text = (
            f"Only {named(evidence.scheme)} folds were tried, which {'answer' if random else 'may answer only'} for "
            "places between the sites: nothing is known of the map away from them. Add "
            "knndm to model.validation.schemes."
        )
        yield Reason(code="no_spatial_validation", level="weak", depth=None, text=text)


def _of_families(evidence: Evidence) -> Iterator[Reason]:
    scheme, mapped = evidence.scheme, evidence.mapped
    skills = evidence.skills.get(scheme, {})
    if len(skills) < 2 or mapped not in skills:
        return
    best = max(skills, key=skills.__getitem__)
    if skills[best] - skills[mapped] > SAME_SKILL:
        text = (
            f"{named(mapped)} is mapped, but {named(best)} is better with {named(scheme)} folds "
            f"(R² {fixed(skills[best])} against {fixed(skills[mapped])})."
        )
        yield Reason(code="not_the_best", level="weak", depth=None, text=text)
    at_random = evidence.skills.get("random", {})
    if scheme == "random" or not at_random:
        return
    flattered = max(at_random, key=at_random.__getitem__)
    if skills[best] - skills.get(flattered, skills[best]) > SAME_SKILL:
        text = (
            f"Random folds prefer {named(flattered)}, {named(scheme)} folds {named(best)} "
            f"(there R² {fixed(skills[best])} against {fixed(skills[flattered])}): the families rank by how near the "
            "sites lie to one another."
        )
        yield Reason(code="winners_differ", level="weak", depth=None, text=text)


def _of_area(outside: float) -> Iterator[Reason]:
    if not outside <= OUTSIDE:
        text = (
            f"{100 * outside:.0f} % of the mapped area lie outside the area of applicability, where the validation "
            "says nothing."
        )
        yield Reason(code="outside_applicability", level="weak", depth=None, text=text)


def _of_sites(evidence: Evidence) -> Iterator[Reason]:
    """Yield whether sites seem to be chosen for what is mapped; neighbours count together, as one piece of evidence."""
    shift, skill = evidence.shift, evidence.depths[0].skill
    if shift is None or skill is None:
        return
    chance = NOISE / max(min(skill.groups, shift.sites), 1) ** 0.5
    if abs(shift.value) > max(SHIFT, chance):
        richer = shift.value > 0
        text = (
            f"The {counted(shift.sites, 'site')} lie on ground that the map itself takes to be "
            f"{'richer' if richer else 'poorer'} than the rest of their zones, by {fixed(abs(shift.value))} standard "
            "deviations of the map (representativeness.csv). If they were chosen for what was expected there, beyond "
            f"what the covariates tell, the map and its totals are too {'high' if richer else 'low'}, and no interval "
            "knows of it."
        )
        yield Reason(code="sites_not_typical", level="weak", depth=None, text=text)
