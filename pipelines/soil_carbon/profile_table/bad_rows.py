"""Rows left out where the run file allows it: counted by reason, and as a table."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from engine.errors import Finding
from engine.formatting import counted
from pipelines.soil_carbon.profile_table.checks import Problems
from pipelines.soil_carbon.profile_table.table import LeftOut

MANY = 0.1
"""Share of the rows that is worth a warning."""
TOO_MANY = 0.5
"""Share of the rows with one fault from which the column is at fault, not the rows."""


def count_left_out(problems: Problems) -> list[Finding]:
    """Note how many rows are left out, and why.

    Where more than half of the rows have one and the same fault, that is a problem: the whole column is in another unit
    or means something else.
    """
    total = len(problems.table.as_written)
    # In the order in which they were found: what a set holds has none.
    reasons = Counter(reason for _, reason in dict.fromkeys((left.row, left.reason) for left in problems.left_out))
    rows = {left.row for left in problems.left_out}
    if not rows:
        return []
    for reason, count in reasons.items():
        if count > TOO_MANY * total:
            first = next(left for left in problems.left_out if left.reason == reason)
            problems.report(
                f"{problems.table.where(first.row)}: `on_bad_row: drop` would leave out {count:,} of {total:,} rows "
                "for one "
                f"reason ({reason}; here {first.value!r}): the column as a whole is at fault; give its `units`, or "
                "correct it"
            )
    if len(rows) >= total and not problems.found:
        problems.report(f"{problems.table.path}: `on_bad_row: drop` leaves no row at all.")
    listed = "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    text = f"{len(rows):,} of {counted(total, 'row')} left out: {listed} (dropped_rows.csv lists them)."
    return [Finding.warning(text) if len(rows) > MANY * total else Finding.note(text)]


def left_out_table(left_out: Sequence[LeftOut], counted_as: str = "row") -> pd.DataFrame:
    """Return the rows that are left out, one line per fault.

    Parameters
    ----------
    left_out : sequence of LeftOut
    counted_as : str
        Name of the first column.

    Returns
    -------
    DataFrame
        `row` (of the file), `site`, `column`, `value` (as the file has it), `reason`.
    """
    columns = {
        counted_as: [left.row for left in left_out],
        "site": [left.site for left in left_out],
        "column": [left.column for left in left_out],
        "value": ["" if left.value is None or left.value != left.value else str(left.value) for left in left_out],
        "reason": [left.reason.replace("`", "") for left in left_out],
    }
    return pd.DataFrame(columns)
