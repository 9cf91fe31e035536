"""Run files, tables and rasters that are spoilt at random, hundreds of each: refused with exit code 1, or read rightly.

    python benchmarks/spoilt.py               # 500, a table to the screen and into benchmarks/README.md

A run file that is still sound after it was changed is run to the end as well, and must not fail on the way.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from machine import describe, publish, table
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1] / "tests" / "pipelines"))
import mutations
import small_run

from pipelines.cli import app

TOTAL = 500
HEADING = ["what is spoilt", "tried", "refused", "read rightly", "a warning names what is doubtful", "wrong"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total", type=int, default=TOTAL, help=f"inputs that are tried (default: {TOTAL})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=list(mutations.MUTATIONS), help="of this kind only")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(mutations.MUTATIONS)
    rows, failures = [HEADING], []
    with tempfile.TemporaryDirectory() as folder:
        pristine = small_run.write(Path(folder) / "pristine").parent
        for kind in kinds:
            seen, wrong = attempt(
                kind, -(-options.total // len(kinds)), options.seed, pristine, Path(folder) / "spoilt"
            )
            failures += wrong
            counts = [seen[v] for v in ("refused", "right", "warned")]
            rows.append([kind, str(sum(counts) + len(wrong)), *map(str, counts), str(len(wrong))])
    text = f"Measured on: {describe()}.\n\n{table(rows)}"
    print("\n\n".join([*failures, text]))
    if failures:
        sys.exit(1)
    if not options.kind:
        publish("spoilt.py", text)


def attempt(kind: str, number: int, start: int, pristine: Path, folder: Path) -> tuple[Counter[str], list[str]]:
    """Count what came of `number` inputs, and list those that were neither refused nor read rightly."""
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    runner = CliRunner()

    @seed(start)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def spoil(data: st.DataObject) -> None:
        what, change = data.draw(mutations.MUTATIONS[kind])
        shutil.rmtree(folder, ignore_errors=True)
        run = small_run.SmallRun(Path(shutil.copytree(pristine, folder)))
        change(run)
        result = runner.invoke(app, ["check", str(run.path)])
        try:
            found = mutations.verdict(run, result, kind)
            if kind == "run file" and found != "refused":
                ran = runner.invoke(app, ["run", str(run.path)])
                assert ran.exit_code in (0, 1), ran.output[-2000:]
            seen[found] += 1
        except (AssertionError, Exception) as error:
            wrong.append(f"{kind}: {what}\n{type(error).__name__}: {error}"[:3000])

    spoil()
    return seen, wrong


if __name__ == "__main__":
    main()
