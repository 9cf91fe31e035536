"""Dunn's test against scikit-posthocs; letters against Piepho's definition."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scikit_posthocs import posthoc_dunn
from scipy.stats import kruskal

from engine.statistics.rank_tests import compact_letters, dunn, holm


@pytest.mark.parametrize("decimals", [6, 0], ids=["no ties", "many ties"])
@pytest.mark.parametrize("adjust", [None, "holm"])
def test_as_scikit_posthocs(decimals, adjust):
    rng = np.random.default_rng(4)
    group = rng.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05])
    values = np.round(rng.normal(0.8 * group, 2), decimals)
    test = dunn(values, group, 4)
    expected = posthoc_dunn(
        pd.DataFrame({"v": values, "g": group}), val_col="v", group_col="g", p_adjust=adjust
    ).to_numpy()
    p = test.p if adjust is None else test.p_adjusted
    assert p == pytest.approx(expected[tuple(test.pairs.T)], rel=1e-10)
    assert np.ptp(p) > 0.01


def test_worked_by_hand():
    # Ranks 1, 2 | 3, 4: mean ranks 1.5 and 3.5; variance 4 · 5 / 12 · (1/2 + 1/2) = 5/3.
    test = dunn(np.array([1.0, 2, 5, 9]), np.array([0, 0, 1, 1]), 2)
    assert test.mean_rank.tolist() == [1.5, 3.5]
    assert test.z == pytest.approx([-2 / np.sqrt(5 / 3)])
    # Two groups: z² is the H of Kruskal–Wallis.
    assert test.z**2 == pytest.approx(kruskal([1, 2], [5, 9]).statistic)


def test_empty_and_constant_groups_are_refused():
    with pytest.raises(ValueError, match=r"sizes are \[2, 0\]"):
        dunn(np.array([1.0, 2]), np.array([0, 0]), 2)
    with pytest.raises(ValueError, match="all the same"):
        dunn(np.ones(4), np.array([0, 0, 1, 1]), 2)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_a_large_map_takes_a_second():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 560_000)
    values = rng.normal(0.01 * group, 1)
    test = dunn(values, group, 3)
    statistic = kruskal(*(values[group == g] for g in range(3))).statistic
    # Without ties, H is the weighted sum of squares of the mean ranks (Kruskal & Wallis 1952).
    n, sizes = len(values), np.bincount(group)
    assert 12 / (n * (n + 1)) * np.sum(sizes * (test.mean_rank - (n + 1) / 2) ** 2) == pytest.approx(statistic)


def test_letters_of_a_textbook_chain():
    # A > B > C > D > E, where only neighbours at most two steps apart are alike.
    apart = [("A", "D"), ("A", "E"), ("B", "E")]
    assert compact_letters("ABCDE", apart) == {"A": "a", "B": "ab", "C": "abc", "D": "bc", "E": "c"}
    assert compact_letters("ABC", []) == {"A": "a", "B": "a", "C": "a"}
    assert compact_letters("ABC", [("A", "B"), ("A", "C"), ("B", "C")]) == {"A": "a", "B": "b", "C": "c"}
    assert compact_letters("A", []) == {"A": "a"}


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_two_groups_share_a_letter_exactly_if_they_are_alike(data):
    groups = "ABCDEFGH"[: data.draw(st.integers(1, 8))]
    pairs = list(combinations(groups, 2))
    differ = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    letters = compact_letters(groups, differ)
    assert list(letters) == list(groups)
    for a, b in pairs:
        assert bool(set(letters[a]) & set(letters[b])) == ((a, b) not in differ)
    # Nothing to absorb: no letter's groups are all among another's.
    columns = [{g for g in groups if letter in letters[g]} for letter in set("".join(letters.values()))]
    assert not any(a < b for a in columns for b in columns)


def test_more_groups_than_letters_of_the_alphabet():
    groups = [f"g{i}" for i in range(60)]
    letters = compact_letters(groups, combinations(groups, 2))
    assert (letters["g0"], letters["g26"], letters["g52"]) == ("a", "A", "a′")
    assert len(set(letters.values())) == 60
