"""Profile tables in whole runs: two tables, rows left out, and what makes the results stale."""

from io import StringIO

import pandas as pd
import pytest
from ruamel.yaml import YAML

from pipelines.preflight.prepare import open_run
from pipelines.run.stage_keys import stage_states


@pytest.fixture
def apart(run):
    """The small run with its sites in a table of their own, and two bad rows."""
    data = run.directory / "data"
    table = pd.read_csv(data / "profiles.csv")
    places = [c for c in ("lon", "lat", "vegetation", "soil_type", "source") if c in table]
    table.drop_duplicates("site")[["site", *places]].to_csv(data / "sites.csv", index=False, sep=";")
    bad = table.iloc[[0, 1]].assign(top=[200, 210], bottom=[210, 210], bulk_density=[5.03, 1.0])
    pd.concat([table, bad]).drop(columns=places).to_csv(data / "profiles.csv", index=False)
    run.set("observations.sites", {"table": "sites.csv", "key": "site"})
    run.set("observations.on_bad_row", "drop")
    return run


def test_rows_left_out_are_an_artefact_and_a_note(apart, gelisol):
    result = gelisol("run", apart.path, "--until", "profiles")
    assert result.exit_code == 0, result.output
    left_out = pd.read_csv(apart.out / "dropped_rows.csv", dtype=str)
    assert left_out.columns.tolist() == ["row", "site", "column", "value", "reason"]
    assert left_out["value"].tolist() == ["5.03", "210"]
    assert "2 of 82 rows left out: 1 `bulk_density` outside" in result.output.replace("\n", " ")
    again = YAML(typ="safe").load(StringIO((apart.out / "run.yaml").read_text(encoding="utf-8")))
    assert (apart.out / again["observations"]["sites"]["table"]).resolve() == apart.directory / "data" / "sites.csv"
    assert gelisol("check", apart.out / "run.yaml").exit_code == 0


def test_the_table_of_sites_is_part_of_the_input(apart, gelisol):
    gelisol("run", apart.path, "--until", "profiles")
    assert stage_states(open_run(apart.path))["profiles"] == "done"
    sites = apart.directory / "data" / "sites.csv"
    sites.write_text(sites.read_text().replace("\n", "\n\n", 1))
    assert stage_states(open_run(apart.path))["profiles"] == "stale: the table of sites changed"
    sites.unlink()
    result = gelisol("check", apart.path)
    assert result.exit_code == 1 and "sites.csv: no such file; `observations.sites.table` starts from" in result.stderr


def test_without_bad_rows_the_list_is_empty(finished):
    assert (finished / "dropped_rows.csv").read_text() == "row,site,column,value,reason\n"
