"""Processes that spawn, as on Windows and macOS: workers import what they need, and the program is not run again."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import multiprocessing
import sys
from pathlib import Path

with Path(sys.argv[1]).open("a") as file:
    file.write(__name__ + "\\n")

def main() -> None:
    multiprocessing.set_start_method("spawn")
    from engine.execution.cluster import connect, peak_memory

    with connect("local", workers=2) as client:
        found = dict(client.run(multiprocessing.get_start_method, True))
        assert len(found) == 2 and set(found.values()) <= {"spawn", None}, found
        assert sorted(client.gather(client.map(abs, [-3, 2]))) == [2, 3]
        assert peak_memory(client) > 10 * 2**20

if __name__ == "__main__":
    main()
    print("done")
"""


def test_a_program_with_a_guard_runs_once(tmp_path: Path):
    folder = tmp_path / "my programs"
    folder.mkdir()
    program, runs = folder / "my program.py", folder / "runs.txt"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program, runs], capture_output=True, text=True, timeout=300, cwd=folder)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert runs.read_text().split().count("__main__") == 1
