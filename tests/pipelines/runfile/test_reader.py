"""The run file: values and their types, settings from the command line, and what is kept of a faulty one."""

from pathlib import Path

import pytest
import small_run
from small_run import SmallRun

from engine.errors import InputError
from engine.sources.entry import source_spec
from pipelines.runfile.reader import Draft, RunFile, load, read
from pipelines.runfile.reference import _fields, _models, reference

REPOSITORY = Path(__file__).parents[3]


def test_small_run_is_typed(run: SmallRun):
    config, base = load(run.path)
    assert base == run.directory
    assert config.depths == ((0.0, 10.0), (0.0, 30.0))
    assert config.depth_labels == ("0-10", "0-30")
    assert config.covariates["vegetation"].class_names == ("forest", "grassland")
    assert config.covariates["mat"].period == (2001, 2002)
    assert config.model.replicates == 8


def test_what_is_not_given_has_its_default(run: SmallRun):
    config, _ = load(run.path)
    assert config.domain.mask is None
    assert config.covariates["ai"].resampling is None
    assert config.cluster.threads == 1
    assert config.synthetic is False


def test_depth_labels_keep_fractions(run: SmallRun):
    config, _ = load(run.path, ("depths=[[0, 7.5], [7.5, 30]]",))
    assert config.depth_labels == ("0-7.5", "7.5-30")


@pytest.mark.parametrize(
    ("setting", "of", "expected"),
    [
        ("model.replicates=20", lambda c: c.model.replicates, 20),
        ("domain.resolution=2.5e3", lambda c: c.domain.resolution, 2500.0),
        ("title=Somewhere: else", None, None),
        ("title='Somewhere: else'", lambda c: c.title, "Somewhere: else"),
        ("zones=null", lambda c: c.zones, None),
        ("data=/elsewhere", lambda c: c.data, "/elsewhere"),
        ("domain.mask={covariate: mat, max: 0}", lambda c: c.domain.mask.max, 0.0),
        ("domain.mask.covariate=mat", None, None),
        ("covariates.tn.nodata=[-1, -2]", lambda c: c.covariates["tn"].nodata, (-1.0, -2.0)),
        ("cluster.memory=2GB", lambda c: c.cluster.memory, "2GB"),
    ],
)
def test_settings_replace_values(run: SmallRun, setting, of, expected):
    """A setting's value is YAML; a section that is not there is made."""
    if of is None:
        with pytest.raises(InputError):
            load(run.path, (setting,))
    else:
        assert of(load(run.path, (setting,))[0]) == expected


def test_later_setting_wins(run: SmallRun):
    config, _ = load(run.path, ("model.replicates=20", "model.replicates=30"))
    assert config.model.replicates == 30


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("replicates", "expected key.subkey=value"),
        ("=5", "expected key.subkey=value"),
        ("name.first=5", "'name' holds a single value, it has no 'first'"),
        ("model.replicates=[1", "is not valid YAML"),
    ],
)
def test_malformed_settings(run: SmallRun, setting, says):
    with pytest.raises(InputError, match="--set") as caught:
        load(run.path, (setting,))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.replicates=many", "`model.replicates`: expected a whole number; found 'many'"),
        ("model.replicates=1", "`model.replicates`: expected greater than or equal to 2; found 1"),
        ("modle={replicates: 3}", "unknown key `modle`; did you mean `model`?"),
        ("modle.replicates=3", "unknown key `modle`; did you mean `model`?"),
        ("model.validation.repeat=3", "unknown key `model.validation.repeat`; did you mean `repeats`?"),
        ("covariates.ai.scale=0", "`covariates.ai.scale`: 0 makes every value the same"),
        ("domain.mask.covariate=mat", "`domain.mask`: give `min`, `max` or `classes`"),
        ("zones=soil", "`zones`: 'soil' is not among the covariates"),
        ("depths=[[0, 10], [0, 10]]", "`depths`: an interval is listed twice"),
        ("model.thresholds=[5, 5]", "`model.thresholds`: 5 is listed twice"),
        ("model.thresholds=[-1]", "`model.thresholds`: -1 kg C/m² lies below 0, where no density is"),
        ("model.thresholds=[.inf]", "`model.thresholds.0`: expected a finite number"),
        ("model.quantiles=[0.5, 0.50]", "`model.quantiles`: 0.5 is listed twice"),
        (
            "model.quantiles=[5]",
            "`model.quantiles.0`: a quantile lies between 0 and 1, e.g. 0.05, not at 5; for the",
        ),
        ("model.quantiles=[0.0]", "`model.quantiles.0`: a quantile lies between 0 and 1"),
        (
            "model={residual_error: false, thresholds: [5]}",
            "`model`: `thresholds`: layers of cells come from",
        ),
        ("figures.permafrost=tnn", "`figures.permafrost`: 'tnn' is not among the covariates; did you mean `tn`?"),
        ("model.families=[rf, xgbost]", "`model.families.1`: 'xgbost' is not among"),
    ],
)
def test_a_setting_that_is_wrong_is_named_instead_of_a_line(run: SmallRun, setting: str, says: str):
    """What the run file holds at that key is not at fault."""
    with pytest.raises(InputError) as caught:
        load(run.path, ("model.seed=1", setting))
    (problem,) = map(str, caught.value.problems)
    assert problem.startswith(f"--set {setting.partition('=')[0]}: {says}")


def test_the_setting_that_counts_is_named_and_the_file_keeps_its_lines(run: SmallRun):
    line = run.edit_text("seed: 7", "seed: seven")
    with pytest.raises(InputError) as caught:
        load(run.path, ("model.replicates=1", "model.replicates=many"))
    by_set, by_file = sorted(map(str, caught.value.problems))
    assert by_set.startswith("--set model.replicates: ") and "'many'" in by_set
    assert by_file.startswith(f"{run.path}, line {line}: `model.seed`")


def test_a_draft_keeps_what_is_sound(run: SmallRun):
    run.set("covariates.ai.clases", {"dry": [1]})
    run.set("domain.resolution", -1)
    reading = read(run.path)
    assert isinstance(reading.run, Draft)
    assert reading.run.domain is None
    assert set(reading.run.covariates) == {"mat", "tn", "vegetation"}
    assert reading.run.unsound == {"ai"}
    assert reading.run.observations is not None
    assert len(reading.problems) == 2


def test_run_files_cannot_be_changed(run: SmallRun):
    config, _ = load(run.path)
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"


def test_sources_are_the_same_whether_read_or_made():
    entry = small_run.settings()["covariates"]["vegetation"]
    assert source_spec(**entry) == source_spec(**entry)


@pytest.mark.parametrize("domain", ["blank", "circumpolar"])
def test_catalogue_loads(domain: str):
    config, _ = load(REPOSITORY / "catalogs" / domain / "run.yaml")
    assert config.zones in config.covariates


def test_reference_is_up_to_date():
    page = (REPOSITORY / "docs" / "run-file.md").read_text(encoding="utf-8")
    assert page == reference(), "write it anew: python -m pipelines.runfile.reference > docs/run-file.md"


def test_reference_explains_every_key():
    rows = [line.rstrip(" |") for line in reference().splitlines() if line.startswith("| `")]
    explained = {row.split(" | ")[0].strip("| `") for row in rows if row.count("|") in (4, 5)}
    keys = [(path, key) for path, model in _models("", RunFile) for key in _fields(model)]
    assert len(keys) > 50
    for path, key in keys:
        assert key in explained, f"{path}.{key} has no meaning: give its Field a description"


@pytest.mark.parametrize(
    "cluster",
    [
        {"kind": "address", "address": "tls://10.0.0.1:8786", "tls": {"ca": "a", "cert": "b", "key": "c"}},
        {"kind": "ssh", "hosts": ["a", "a"], "workers": 4, "threads": 2, "memory": "4GB"},
        {"kind": "dask_jobqueue.SLURMCluster", "workers": 4, "options": {"cores": 8, "nested": {"a": [1, 2]}}},
        {"kind": "coiled.Cluster", "adaptive": {"minimum": 1, "maximum": 9}},
        {"kind": "local", "adaptive": {"maximum": 4}},
    ],
)
def test_where_a_run_may_go(run: SmallRun, cluster):
    run.set("cluster", cluster)
    load(run.path)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"kind": "slurm"}, "cluster.kind"),
        ({"kind": "a.b; import os"}, "cluster.kind"),
        ({"kind": "ssh"}, "`kind: ssh` and `hosts` go together"),
        ({"kind": "ssh", "hosts": ["a"]}, "`hosts` needs two or more"),
        ({"kind": "local", "hosts": ["a", "b"]}, "`kind: ssh` and `hosts` go together"),
        ({"kind": "local", "options": {"a": 1}}, "`options` are those of a cluster class"),
        ({"kind": "a.Cluster", "memory": "2GB"}, "are set in its `options`"),
        ({"kind": "local", "workers": 2, "adaptive": {"maximum": 4}}, "not both"),
        ({"kind": "local", "adaptive": {"minimum": 5, "maximum": 4}}, "is more than `maximum` 4"),
        ({"kind": "address", "address": "tcp://a:1", "tls": {"ca": "a", "cert": "b", "key": "c"}}, "tls://"),
        ({"kind": "local", "adaptive": {"maxmum": 4}}, "did you mean `maximum`?"),
    ],
)
def test_where_it_may_not(run: SmallRun, cluster, message):
    run.set("cluster", cluster)
    with pytest.raises(InputError) as error:
        load(run.path)
    assert message in str(error.value)


def test_results_go_to_a_folder_or_to_an_object_store(run: SmallRun):
    assert load(run.path, ("output.dir=s3://bucket/out",))[0].output.dir == "s3://bucket/out"
    with pytest.raises(InputError, match=r"`output.dir`: 'gs://bucket/out' cannot hold results"):
        load(run.path, ("output.dir=gs://bucket/out",))
    with pytest.raises(InputError, match=r"'s3://bucket/out': credentials .* belong in the environment") as error:
        load(run.path, ("output.dir=s3://key:word@bucket/out",))
    assert "word" not in str(error.value)
