"""The headline of a run in words: its totals and the verdict on them, read from `summary.json`."""

import json
from dataclasses import dataclass
from typing import Any

from engine.errors import InputError
from engine.storage.paths import OutPath, read_file
from pipelines.runfile.target import stock_unit
from pipelines.soil_carbon.formatting import depth_text, number, span

SUMMARY = "summary.json"
_REASONS = 4
"""Reasons that a terminal shows; the report has all."""


@dataclass(frozen=True)
class Headline:
    """Headline of a run: its main results and verdict.

    Attributes
    ----------
    verdict : str
        supported, weak or none.
    conclusion : str
        What follows, in a sentence.
    reasons : tuple of str
        Those that the verdict rests on, in sentences, those that weigh most first.
    totals : tuple of str
        One line per depth.
    """

    verdict: str
    conclusion: str
    reasons: tuple[str, ...]
    totals: tuple[str, ...]

    @property
    def statement(self) -> str:
        """The verdict in one line."""
        return f"verdict: {self.verdict}. {self.conclusion}"

    def lines(self) -> list[str]:
        """Return lines for a terminal: the verdict before the numbers that it governs."""
        shown = [f"  {reason}" for reason in self.reasons[:_REASONS]]
        if more := len(self.reasons) - _REASONS:
            shown += [f"  {more} more in the report."] if more > 0 else []
        return [self.statement, *shown, *self.totals]


def read_headline(directory: OutPath) -> Headline | None:
    """Read the headline of the run in a folder; None before its report is written.

    Raises
    ------
    InputError
        If `summary.json` is of another version, or damaged.
    """
    try:
        content = json.loads(read_file(directory / SUMMARY))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise InputError(f"{directory / SUMMARY}: is damaged ({error}); `gelisol report` writes it anew") from error
    try:
        reasons = _governing(content["reasons"])
        units = content.get("target", {}).get("units", "kg C/m²")
        largest = max((found["total"] for found in content["depths"].values() if "total" in found), default=0.0)
        scale = stock_unit(units, largest)  # one for all depths
        totals = tuple(_total(depth, found, units, scale) for depth, found in content["depths"].items())
        return Headline(content["verdict"], content["conclusion"], reasons, totals)
    except KeyError as error:
        raise InputError(f"{directory / SUMMARY}: lacks {error}; `gelisol report` writes it anew") from error


def _governing(reasons: list[dict[str, Any]]) -> tuple[str, ...]:
    order = {"none": 0, "weak": 1}
    against = [reason for reason in reasons if reason["level"] in order]
    against.sort(key=lambda reason: order[reason["level"]])
    return tuple(reason["text"] for reason in against or reasons)


def _total(depth: str, found: dict[str, Any], units: str, scale: tuple[str, float]) -> str:
    if "total" not in found:
        return f"{depth_text(depth)}: mean {number(found['mean'])} {units} (95 % range {span(*found['interval'])})"
    unit, factor = scale
    lower, upper = (factor * end for end in found["interval"])
    text = f"{depth_text(depth)}: {number(factor * found['total'])} {unit} (95 % range {span(lower, upper)})"
    if found["verdict"] == "none":
        text += f"; area × mean of the sites: {number(factor * found['area_times_sites_mean'])} {unit}"
    return text
