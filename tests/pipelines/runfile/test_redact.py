"""Secrets do not reach what is written."""

import json

import pytest

from engine.errors import Finding
from pipelines.progress import Display
from pipelines.runfile.redact import HIDDEN, redacted, redacted_text


@pytest.mark.parametrize(
    "key", ["password", "passwd", "token", "api_token", "client_secret", "secretKey", "access_key", "api-key", "auth"]
)
def test_a_key_that_names_a_secret(key: str):
    assert redacted({"options": [{key.replace("-", "_"): "hunter2"}]}) == {"options": [{key.replace("-", "_"): HIDDEN}]}


@pytest.mark.parametrize("key", ["key", "name", "author", "monkey", "keys", "resampling"])
def test_others_stay(key: str):
    assert redacted({key: "value", "n": 3, "list": ["a", 1.5, None]}) == {
        key: "value",
        "n": 3,
        "list": ["a", 1.5, None],
    }


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("s3://me:hunter2@bucket/a.tif", "s3://(hidden)@bucket/a.tif"),
        ("https://x.org/a.tif?sv=1&sig=hunter2&se=2", "https://x.org/a.tif?sv=1&sig=(hidden)&se=2"),
        ("read https://x.org/a?X-Amz-Signature=hunter2 (403)", "read https://x.org/a?X-Amz-Signature=(hidden) (403)"),
        ("https://x.org/a@b.tif?year=2000", "https://x.org/a@b.tif?year=2000"),
    ],
)
def test_secrets_in_urls(text: str, hidden: str):
    assert redacted_text(text) == hidden


def test_log_and_events_are_free_of_them(tmp_path):
    display = Display(style="json")
    with display.recorded(tmp_path):
        display.say(Finding.warning("s3://me:hunter2@bucket/a.tif: no answer"))
    assert "hunter2" not in (tmp_path / "gelisol.log").read_text() + (tmp_path / "events.jsonl").read_text()
    assert "WARNING s3://(hidden)@bucket" in (tmp_path / "gelisol.log").read_text().replace(" warning: ", " ")
    (event,) = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert (event["event"], event["level"]) == ("said", "warning")


def test_the_resolved_run_file_is_free_of_them(run, gelisol):
    run.set("cluster", {"kind": "dask_jobqueue.SLURMCluster", "options": {"account": "a", "auth_token": "hunter2"}})
    result = gelisol("run", run.path, "--until", "profiles")
    assert result.exit_code == 0, result.output
    written = (run.out / "run.yaml").read_text()
    assert "hunter2" not in written and "auth_token: (hidden)" in written and "account: a" in written
