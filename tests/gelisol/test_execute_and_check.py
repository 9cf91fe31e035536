"""`gelisol.run` and `gelisol.check`: the command line's, with a client and settings of one's own."""

from pathlib import Path

import numpy as np
import pytest
import small_run
from distributed import Client

import gelisol
from engine.errors import GelisolError
from gelisol._execute import overrides


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A small run that nobody has run."""
    return small_run.write(tmp_path / "run")


def test_run_on_a_client_with_settings(fresh: Path, threads: Client, tmp_path: Path):
    run = gelisol.run(fresh, threads, out=tmp_path / "there", until="train", model__replicates=np.int64(6))
    assert str(run.directory) == str(tmp_path / "there")
    assert len(list((tmp_path / "there" / "ensemble").glob("replicate_*.ubj"))) == 6
    assert threads.status == "running"
    assert "train done" in repr(run) and "map to do" in repr(run)


def test_settings_as_the_command_line_takes_them(tmp_path: Path):
    given = {"name": "a: b", "model__families": ["rf", {"name": "svm"}], "domain.chunk": 64, "data": tmp_path}
    assert overrides(given) == (
        'name="a: b"', 'model.families=["rf", {"name": "svm"}]', "domain.chunk=64", f'data="{tmp_path}"',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run_file": 3}, "run_file: expected a path"),
        ({"run_file": "nowhere.yaml"}, "no such run file"),
        ({"client": "tcp://host:8786"}, "client: expected a distributed.Client"),
        ({"until": "maps"}, "until: unknown stage 'maps'; did you mean `map`"),
        ({"progress": "none"}, "progress: expected one of auto, bars"),
        ({"fresh": "yes"}, "fresh: expected True or False"),
        ({"out": 1}, "out: expected a path"),
        ({"model__replicates": object()}, "model__replicates: a run file cannot hold object"),
        ({"model__replicats": 5}, "unknown key `model.replicats`; did you mean `replicates`"),
    ],
)  # fmt: skip
def test_mistakes_get_a_sentence(fresh: Path, arguments: dict, message: str):
    with pytest.raises(GelisolError, match=message):
        gelisol.run(**{"run_file": fresh, **arguments})


def test_check_of_a_sound_run(fresh: Path):
    found = gelisol.check(fresh)
    assert found.is_sound and found.raise_if_bad() is found
    assert found.table["covariate"].tolist() == ["mat", "ai", "tn", "vegetation"]
    assert "profiles: 2 of 40 sites lie outside the domain's bounds." in map(str, found.notes)
    assert "sound; a run would start" in repr(found) and "Plan" in repr(found)
    assert "<pre" in found._repr_html_()


def test_check_collects_problems_and_does_not_raise(fresh: Path):
    (fresh.parent / "data" / "ai.tif").unlink()
    found = gelisol.check(fresh, model__replicates=0)
    assert len(found.problems) == 2 and not found.is_sound
    assert any("ai.tif" in problem.message for problem in found.problems)
    assert found.table["covariate"].tolist() == ["mat", "tn", "vegetation"]
    assert "2 problems" in repr(found)
    with pytest.raises(gelisol.InputError, match=r"ai\.tif"):
        found.raise_if_bad()


def test_check_of_what_is_no_run_file(tmp_path: Path):
    (tmp_path / "list.yaml").write_text("- <b>1</b>\n")
    assert "found a list" in gelisol.check(tmp_path / "list.yaml").problems[0].message
    assert "no such run file" in gelisol.check(tmp_path / "<b>.yaml").problems[0].message
    assert "<b>" not in gelisol.check(tmp_path / "<b>.yaml")._repr_html_()


def test_check_escapes_what_it_shows(fresh: Path):
    text = fresh.read_text().replace("name: small", "name: small\ntitle: <script>")
    fresh.write_text(text.replace("ai.tif", "<script>.tif"))
    html = gelisol.check(fresh)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
