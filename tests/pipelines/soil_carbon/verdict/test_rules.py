"""The rules of the verdict: each by an example, and that worse evidence never gives a better verdict."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.soil_carbon.verdict.rules import (
    LEVELS,
    AtDepth,
    Covered,
    CoveredGroup,
    Evidence,
    Independent,
    SiteShift,
    SkillFound,
    Verdict,
    judge,
    standing_scheme,
)

NOMINAL = (0.5, 0.8, 0.9, 0.95)


def skill(value: float = 0.36, reach: float = 0.15, n: int = 147, groups: float = 60.0) -> SkillFound:
    return SkillFound(
        value=value, lower=value - reach, upper=value + reach, n=n, groups=groups, rmse=1.5, rmse_of_mean=1.9
    )


def covered(shortfall: float = 0.0, n: int = 147) -> tuple[Covered, ...]:
    return tuple(Covered(nominal=p, measured=max(p - shortfall, 0), n=n) for p in NOMINAL)


def grouped(shortfall: float = 0.0, n: int = 29, others: int = 12) -> tuple[CoveredGroup, ...]:
    """Wetland, which is off, and other groups that are not."""
    names = ["wetland", *(f"group {i}" for i in range(others))]
    off = [shortfall] + [0.0] * others
    return tuple(
        CoveredGroup(group=name, nominal=p, measured=min(max(p - by, 0), 1), n=n)
        for name, by in zip(names, off, strict=True)
        for p in (0.8, 0.95)
    )


def at(depth: str = "0-30", **changes: Any) -> AtDepth:
    return AtDepth(**({"depth": depth, "skill": skill(), "coverage": covered()} | changes))


def evidence(**changes: Any) -> Evidence:
    skills = {"random": {"rf": 0.35, "xgboost": 0.37}, "knndm": {"rf": 0.34, "xgboost": 0.36}}
    sound = {"schemes": ("random", "knndm"), "depths": (at(),), "outside": 0.02, "skills": skills, "mapped": "xgboost"}
    return Evidence(**(sound | changes))


def independent(value: float = 0.3, reach: float = 0.2, bias: float = 0.1, shortfall: float = 0.0) -> Independent:
    return Independent(
        skill=skill(value, reach, 60, 30.0), bias=bias, bias_se=0.2, observed_mean=10.0, coverage=covered(shortfall, 60)
    )


def codes(verdict: Verdict) -> set[str]:
    return {reason.code for reason in verdict.against}


def test_a_sound_run_is_supported_and_says_why():
    verdict = judge(evidence())
    assert verdict.level == "supported" and not verdict.against
    (reason,) = verdict.governing()
    assert reason.code == "skill"
    assert "0–30 cm, kNNDM folds: R² over the mean of the training sites is 0.36" in reason.text
    assert "at least 0.21 with 95 % confidence" in reason.text


@pytest.mark.parametrize(
    ("changes", "level", "code"),
    [
        ({"depths": (at(skill=skill(-0.09, 0.1)),)}, "none", "no_skill"),
        ({"depths": (at(skill=skill(0.1, 0.12)),)}, "none", "skill_within_noise"),
        ({"depths": (at(skill=None),)}, "none", "not_validated"),
        ({"depths": (at(skill=skill(0.08, 0.05)),)}, "weak", "little_skill"),
        ({"depths": (at(skill=skill(n=25)),)}, "weak", "too_few_sites"),
        ({"depths": (at(skill=skill(groups=3.5)),)}, "weak", "too_few_sites"),
        ({"depths": (at(coverage=covered(0.11)),)}, "weak", "coverage_too_low"),
        ({"depths": (at(groups=grouped(0.3)),)}, "weak", "coverage_too_low_in_group"),
        ({"depths": (at(coverage=()),)}, "weak", "coverage_not_measured"),
        ({"outside": 0.2}, "weak", "outside_applicability"),
        ({"shift": SiteShift(value=0.6, sites=147)}, "weak", "sites_not_typical"),
        ({"shift": SiteShift(value=-0.6, sites=147)}, "weak", "sites_not_typical"),
        ({"schemes": ("random",)}, "weak", "no_spatial_validation"),
        ({"mapped": "rf", "skills": {"knndm": {"rf": 0.2, "xgboost": 0.36}}}, "weak", "not_the_best"),
        (
            {"skills": {"random": {"rf": 0.5, "xgboost": 0.37}, "knndm": {"rf": 0.2, "xgboost": 0.36}}},
            "weak",
            "winners_differ",
        ),
        ({"depths": (at(independent=independent(-0.5, 0.2)),)}, "none", "independent_worse"),
        ({"depths": (at(independent=independent(-0.1, 0.2)),)}, "weak", "independent_no_skill"),
        ({"depths": (at(independent=independent(0.04, 0.2)),)}, "weak", "independent_no_skill"),
        ({"depths": (at(independent=independent(bias=5.1)),)}, "weak", "independent_bias"),
        ({"depths": (at(independent=independent(shortfall=0.2)),)}, "weak", "independent_coverage_too_low"),
    ],
)
def test_each_rule(changes: dict[str, Any], level: str, code: str):
    verdict = judge(evidence(**changes))
    assert verdict.level == level and code in codes(verdict)


def test_small_differences_are_none():
    """Families within the noise of their repeats, coverage within tolerance, a bias within its error."""
    near = {"random": {"rf": 0.38, "xgboost": 0.37}, "knndm": {"rf": 0.37, "xgboost": 0.36}}
    depth = at(coverage=covered(0.04), independent=independent(bias=0.9))
    assert judge(evidence(skills=near, depths=(depth,), shift=SiteShift(value=0.25, sites=147))).level == "supported"


def test_sites_in_few_groups_may_differ_from_the_map_by_chance():
    few = at(skill=skill(groups=16.0))
    assert "sites_not_typical" not in codes(judge(evidence(depths=(few,), shift=SiteShift(value=0.45, sites=147))))
    assert "sites_not_typical" in codes(judge(evidence(depths=(few,), shift=SiteShift(value=0.55, sites=147))))


def test_a_group_is_off_beyond_chance_and_tolerance():
    """13 groups at two levels: each is called off if chance does it less than once in 26 · 40."""

    def of(groups: tuple[CoveredGroup, ...]) -> list[str]:
        return [r.text for r in judge(evidence(depths=(at(groups=groups),))).reasons if "in_group" in r.code]

    (text,) = of(grouped(0.3))
    assert text == (
        "0–30 cm, kNNDM folds, wetland: 80 % prediction intervals hold 50 % of 29 observations; "
        "they are too narrow there."
    )
    # 7 or more of 40 lie outside 95 % once in 300 times: too often where 26 shares are looked at, but not where 2 are.
    assert not of(grouped(0.13, n=40))
    assert of(grouped(0.13, n=40, others=0)) and of(grouped(0.13, n=400))
    # Sure, but not worth a word.
    assert not of(grouped(0.045, n=100_000))


def test_wide_intervals_are_named_and_limit_nothing():
    verdict = judge(evidence(depths=(at(groups=grouped(-0.19, n=150)),)))
    (reason,) = (r for r in verdict.reasons if r.code == "coverage_too_high_in_group")
    assert "80 % prediction intervals hold 99 % of 150 observations; they are too wide there." in reason.text
    assert verdict.level == "supported"


def test_several_groups_are_counted():
    both = (*grouped(0.3, others=0), *(g.model_copy(update={"group": "bog"}) for g in grouped(0.4, others=0)))
    verdict = judge(evidence(depths=(at(groups=both),)))
    (reason,) = (r for r in verdict.reasons if "in_group" in r.code)
    assert "bog: 95 %" in reason.text or "bog: 80 %" in reason.text
    assert reason.text.endswith("too narrow there, and in 1 other group of sites.")


def test_skill_at_random_alone_does_not_count():
    skills = {"random": {"xgboost": 0.4}, "knndm": {"xgboost": -0.1}}
    verdict = judge(evidence(skills=skills, depths=(at(skill=skill(-0.1, 0.05)),)))
    assert verdict.level == "none" and "map’s dress" in verdict.conclusion


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (0.36, 0.36, "supported"),
        (0.36, 0.07, "weak"),
        (0.36, -0.2, "weak"),
        (-0.2, 0.36, "none"),
        (-0.2, -0.2, "none"),
    ],
)
def test_the_whole_and_its_depths(first: float, second: float, whole: str):
    """A deeper depth without skill takes its own total, the modelled one all of them."""
    verdict = judge(evidence(depths=(at("0-30", skill=skill(first, 0.05)), at("0-100", skill=skill(second, 0.05)))))
    assert verdict.level == whole
    levels = {0.36: "supported", 0.07: "weak", -0.2: "none"}
    assert verdict.depths == {"0-30": levels[first], "0-100": levels[second]}


@pytest.mark.parametrize(
    ("schemes", "stands"),
    [
        (("random", "knndm"), "knndm"),
        (("random", "block", "knndm"), "knndm"),
        (("block", "random"), "block"),
        (("random",), "random"),
    ],
)
def test_which_scheme_stands_for_the_map(schemes: tuple[str, ...], stands: str):
    assert standing_scheme(schemes) == stands


share = st.floats(0, 1)
found = st.builds(skill, st.floats(-1, 0.99), st.floats(0, 1), st.integers(2, 500), st.floats(1, 200))
at_sites = st.builds(independent, st.floats(-2, 0.9), st.floats(0, 2), st.floats(-10, 10), st.floats(0, 0.5))
depths = st.builds(
    at,
    depth=st.just("0-30"),
    skill=st.none() | found,
    coverage=st.just(()) | st.builds(covered, st.floats(-0.05, 0.4), st.integers(5, 500)),
    groups=st.just(()) | st.builds(grouped, st.floats(-0.2, 0.6), st.integers(10, 500)),
    independent=st.none() | at_sites,
)
of_family = st.fixed_dictionaries(dict.fromkeys(("rf", "xgboost", "svm"), st.floats(-1, 1)))
cases = st.builds(
    evidence,
    schemes=st.sampled_from([("random", "knndm"), ("random",), ("block", "random")]),
    depths=st.tuples(depths),
    outside=share,
    shift=st.none() | st.builds(SiteShift, value=st.floats(-2, 2), sites=st.integers(2, 500)),
    skills=st.fixed_dictionaries({"random": of_family, "knndm": of_family, "block": of_family}),
)


def worse_skill(before: SkillFound, by: float) -> SkillFound:
    lower, upper = (None if end is None else end - by for end in (before.lower, before.upper))
    return before.model_copy(update={"value": before.value - by, "lower": lower, "upper": upper})


def worse_coverage(before: tuple[Covered, ...], by: float) -> tuple[Covered, ...]:
    return tuple(c.model_copy(update={"measured": c.measured - by}) for c in before)


def worsened(before: Evidence, by: float) -> dict[str, Evidence]:
    """The same evidence, worse in one respect each."""
    (depth,) = before.depths

    def with_depth(**changes: Any) -> Evidence:
        return before.model_copy(update={"depths": (depth.model_copy(update=changes),)})

    found = {
        "outside": before.model_copy(update={"outside": min(before.outside + by, 1.0)}),
        "coverage": with_depth(coverage=worse_coverage(depth.coverage, by)),
        "coverage of groups": with_depth(
            groups=tuple(g.model_copy(update={"measured": max(g.measured - by, 0.0)}) for g in depth.groups)
        ),
        "no coverage": with_depth(coverage=()),
        "no skill": with_depth(skill=None),
        "no spatial scheme": before.model_copy(update={"schemes": ("random",)}),
    }
    if before.shift:
        away = before.shift.value + (by if before.shift.value > 0 else -by)
        found["sites"] = before.model_copy(update={"shift": before.shift.model_copy(update={"value": away})})
    if depth.skill:
        found["skill"] = with_depth(skill=worse_skill(depth.skill, by))
        found["unsure"] = with_depth(skill=depth.skill.model_copy(update={"lower": None}))
        fewer = {"n": depth.skill.n // 2, "groups": depth.skill.groups / 2}
        found["fewer"] = with_depth(skill=depth.skill.model_copy(update=fewer))
    if own := depth.independent:
        further = own.bias + (by if own.bias > 0 else -by)
        for name, change in {
            "independent skill": {"skill": worse_skill(own.skill, by)},
            "independent bias": {"bias": further},
            "independent coverage": {"coverage": worse_coverage(own.coverage, by)},
        }.items():
            found[name] = with_depth(independent=own.model_copy(update=change))
    flattered = max(before.skills["random"], key=before.skills["random"].__getitem__)
    rival = next(family for family in before.skills["random"] if family not in (flattered, before.mapped))
    raised = {scheme: dict(own) for scheme, own in before.skills.items()}
    raised[before.scheme][rival] += by if before.scheme != "random" else 0.0
    found["a better rival"] = before.model_copy(update={"skills": raised})
    return found


@given(cases, st.floats(0, 2))
def test_worse_evidence_never_gives_a_better_verdict(before: Evidence, by: float):
    level = LEVELS.index(judge(before).level)
    for what, after in worsened(before, by).items():
        if what == "no spatial scheme" and judge(before).level != "supported":
            continue  # other numbers are looked at then
        assert LEVELS.index(judge(after).level) >= level, what


@given(cases)
def test_a_verdict_always_has_its_reasons(case: Evidence):
    verdict = judge(case)
    assert verdict.governing()
    assert all(reason.text.endswith(".") and "nan" not in reason.text for reason in verdict.reasons)
    assert verdict.level == ("supported" if not verdict.against else verdict.against[0].level)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert Evidence.model_validate_json(case.model_dump_json()) == case
