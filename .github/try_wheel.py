"""Try an installed wheel: the command, the compiled kernel beside the plain path, and a small demo.

Runs in an environment that has the wheel and its extras: `python .github/try_wheel.py [--demo]`.
"""

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import xgboost


def kernel() -> str:
    """The forest of the kernel, under every instruction set, gives XGBoost's own numbers to the bit."""
    from engine.forest.native import INSTRUCTION_SETS, module
    from engine.forest.trees import tables_of, xgboost_replicate

    assert INSTRUCTION_SETS, "the wheel has no compiled kernel"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 4)).astype("float32"), rng.normal(size=500)
    boosters = [xgboost.train({"nthread": 1, "max_depth": depth}, xgboost.DMatrix(x, y), 9) for depth in (3, 7)]
    expected = np.stack([booster.inplace_predict(x) for booster in boosters])
    forest = module().Forest(tables_of([xgboost_replicate(booster) for booster in boosters]), False)
    for name in INSTRUCTION_SETS:
        found = np.empty_like(expected)
        forest.predict(x, found, False, name)
        assert found.tobytes() == expected.tobytes(), name
    return ", ".join(INSTRUCTION_SETS)


def main() -> None:
    """Print what was tried."""
    command = Path(sysconfig.get_path("scripts")) / ("gelisol.exe" if sys.platform == "win32" else "gelisol")
    version = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    print(f"{version}, Python {sys.version.split()[0]} on {sysconfig.get_platform()}, kernel: {kernel()}")
    if "--demo" not in sys.argv:
        return
    folder = Path(tempfile.mkdtemp(prefix="gelisol demo "))  # with a space, as many folders have
    out = folder / "out"
    settings = ["model.replicates=5", "model.validation.repeats=1", "model.validation.schemes=[random]"]
    options = [text for setting in settings for text in ("--set", setting)]
    subprocess.run([command, "demo", "--out", out, *options], check=True, cwd=folder)
    assert (out / "report.html").stat().st_size > 100_000
    names = [path.relative_to(out) for path in out.rglob("*")]
    bad = [name for name in names if any(set(part) & set('<>:"|?*\\') for part in name.parts)]
    assert not bad, f"names that Windows does not have: {bad[:5]}"
    print(f"demo: {len(names)} files")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
