"""What stands in the way on other systems, as far as this one can show it."""

import json
import ntpath
import os
import subprocess
import sys
import time
from pathlib import Path, PureWindowsPath

import pytest

from engine.remote import files
from engine.remote.files import Remote, gdal_path, is_remote, local_path, place_of
from engine.storage import system
from engine.storage.atomic import publish, write_file
from engine.storage.paths import out_path

WITHOUT = """
import builtins
original = builtins.__import__

def refuse(name, globals=None, *arguments, **options):
    ours = (globals or {}).get("__name__", "").startswith(("engine", "pipelines"))
    if ours and name in ("fcntl", "resource", "pwd", "grp"):
        raise ModuleNotFoundError(f"no module named {name!r} on Windows")
    return original(name, globals, *arguments, **options)

builtins.__import__ = refuse
"""
"""Our own modules are refused what Windows does not have; other libraries know how to do without."""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code, *arguments], capture_output=True, text=True)


def test_the_command_needs_no_modules_of_unix():
    code = "from pipelines.cli import app; import pipelines.run.execute, pipelines.preflight.prepare, pipelines.virtual"
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_a_folder_is_held_by_one_process_without_fcntl(tmp_path):
    code = """
import sys, time, warnings
from pathlib import Path
from engine.storage.system import alone, fcntl
assert fcntl is None
folder = Path(sys.argv[1])
for _ in range(5):
    with alone(folder):
        inside = folder / "inside"
        inside.touch(exist_ok=False)
        time.sleep(0.05)
        inside.unlink()
"""
    both = [subprocess.Popen([sys.executable, "-c", WITHOUT + code, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]


def test_a_run_is_locked_without_fcntl(tmp_path):
    code = """
import json, sys
from pathlib import Path
from engine.execution.lock import held, locked
with locked(Path(sys.argv[1])):
    print(json.dumps(held(Path(sys.argv[1])).owner.pid))
"""
    done = python(code, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) > 0


@pytest.fixture
def windows(monkeypatch):
    """Windows' rules for files, as this module follows them."""
    monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.setattr(system, "swap", lambda one, other: False)
    monkeypatch.setattr("engine.storage.disk.swap", lambda one, other: False)


def test_a_file_in_use_is_replaced_once_it_is_free(tmp_path, monkeypatch, windows):
    free, real, asked = time.monotonic() + 0.2, os.replace, []

    def replace(source: Path, target: Path) -> None:
        asked.append(target)
        if time.monotonic() < free:
            raise PermissionError(13, "The process cannot access the file because it is being used", str(target))
        real(source, target)

    monkeypatch.setattr(system.os, "replace", replace)
    write_file(tmp_path / "run.lock", b"new")
    assert (tmp_path / "run.lock").read_bytes() == b"new"
    assert len(asked) > 2


def test_a_file_that_stays_in_use_is_an_error(tmp_path, monkeypatch, windows):
    def replace(source: Path, target: Path) -> None:
        raise PermissionError(13, "in use", str(target))

    monkeypatch.setattr(system.os, "replace", replace)
    monkeypatch.setattr(system, "REPLACE_S", 0.2)
    with pytest.raises(PermissionError, match="in use"):
        write_file(tmp_path / "run.lock", b"new")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_published_without_a_swap(tmp_path, windows):
    for content in ("old", "new"):
        (tmp_path / "stage").mkdir()
        (tmp_path / "stage" / "file").write_text(content)
        publish(tmp_path / "stage", tmp_path / "result")
        assert (tmp_path / "result" / "file").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("text", [r"C:\data\x.tif", "C:/data/x.tif", r"d:\a b\tmp_*.nc", r"\\server\share\x.tif"])
def test_a_drive_is_not_a_scheme(text, tmp_path):
    assert not is_remote(text)
    assert not isinstance(place_of(text, tmp_path), Remote)
    assert isinstance(out_path(text, tmp_path), Path)


def test_paths_of_windows(monkeypatch):
    monkeypatch.setattr(files, "Path", PureWindowsPath)
    monkeypatch.setattr(files.os, "sep", "\\")
    monkeypatch.setattr(files, "url2pathname", __import__("nturl2path").url2pathname)
    base = PureWindowsPath(r"D:\my runs\north")
    assert str(place_of(r"C:\data\x.tif", base)) == r"C:\data\x.tif"
    assert str(place_of(r"raw\tmp_*.nc", base)) == r"D:\my runs\north\raw\tmp_*.nc"
    assert str(place_of("raw/x.tif", base)) == r"D:\my runs\north\raw\x.tif"
    assert str(place_of("file:///C:/my%20data/x.tif", base)) == r"C:\my data\x.tif"
    assert str(place_of("file://server/share/x.tif", base)) == r"\\server\share\x.tif"
    assert gdal_path(place_of(r"C:\data\x.tif", base)) == r"C:\data\x.tif"
    assert ntpath.isabs(local_path("file:///C:/x.tif"))


def test_a_run_file_of_windows_is_read_here(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "x.tif").touch()
    assert place_of(r"a b\x.tif", tmp_path) == tmp_path / "a b" / "x.tif"
    assert place_of((tmp_path / "a b" / "x.tif").as_uri(), Path("elsewhere")) == tmp_path / "a b" / "x.tif"
    assert place_of("file://localhost/data/x.tif", tmp_path) == Path("/data/x.tif")
