"""Verdict of the validation on a run, as text that carries its reasons."""

from __future__ import annotations


class Verdict(str):
    """Verdict of the validation on a run: `supported`, `weak` or `none`, as text, with its reasons.

    Parameters
    ----------
    level : str
        The text.
    conclusion : str
        What follows, in a sentence.
    reasons : tuple of str
        Those that weigh most first.
    totals : tuple of str
        One line per depth.

    Examples
    --------
    >>> verdict = gelisol.open("out").verdict
    >>> verdict in ("supported", "weak", "none"), len(verdict.totals)
    (True, 2)
    """

    conclusion: str
    reasons: tuple[str, ...]
    totals: tuple[str, ...]

    def __new__(
        cls, level: str, conclusion: str = "", reasons: tuple[str, ...] = (), totals: tuple[str, ...] = ()
    ) -> Verdict:
        """Make the text, and attach its reasons."""
        verdict = super().__new__(cls, level)
        verdict.conclusion, verdict.reasons, verdict.totals = conclusion, reasons, totals
        return verdict

    def __getnewargs__(self) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:  # type: ignore[override]
        """Pickle with all parts."""
        return str(self), self.conclusion, self.reasons, self.totals
