"""Where the tasks run."""

import os
import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from distributed import LocalCluster
from distributed.security import Security

from engine.errors import InputError
from engine.execution.cluster import cluster_class, connect, peak_memory, remote_client
from engine.execution.worker_checks import check_workers


def environment() -> dict[str, str | None]:
    return {
        name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
    }


def test_local_workers_have_one_thread_each(client):
    assert list(client.nthreads().values()) == [1, 1]
    for found in client.run(environment).values():
        assert found == {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    limits = [w["memory_limit"] for w in client.scheduler_info(n_workers=-1)["workers"].values()]
    assert len(limits) == 2 and limits[0] == limits[1] > 0


def test_peak_memory_is_that_of_a_worker(client):
    peak = peak_memory(client)
    assert 50e6 < peak < 20e9


def test_nobody_at_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    message = f"cluster.address: no Dask scheduler answers at {address} within 0.5 s"
    with pytest.raises(InputError, match=message), remote_client(address, timeout=0.5):
        pass


def test_no_address():
    message = r"cluster.address: no Dask scheduler answers at nonsense://x"
    with pytest.raises(InputError, match=message), remote_client("nonsense://x", timeout=0.5):
        pass


def test_a_scheduler_without_workers():
    with (
        LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as empty,
        pytest.raises(InputError, match=r"cluster.address: the scheduler at .* has no workers"),
        remote_client(empty.scheduler_address, timeout=2),
    ):
        pass


def test_a_scheduler_with_tls(tmp_path):
    """Joined with certificates from files, refused without."""
    security = Security.temporary()
    tls = {}
    for key, text in (
        ("ca", security.tls_ca_file),
        ("cert", security.tls_client_cert),
        ("key", security.tls_client_key),
    ):
        tls[key] = str(tmp_path / f"{key}.pem")
        (tmp_path / f"{key}.pem").write_text(text)
    with LocalCluster(
        n_workers=1, processes=False, protocol="tls", security=security, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with connect("address", address=address, tls=tls, timeout=20) as client:
            assert client.submit(sum, [1, 2]).result() == 3
        with pytest.raises(InputError, match="no Dask scheduler answers"), remote_client(address, timeout=2):
            pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dask_jobqueue.NoSuchCluster", "cannot be imported"),
        ("no_such_package.Cluster", "cannot be imported"),
        ("os.system", "is not a Dask cluster class"),
        ("subprocess.Popen", "is not a Dask cluster class"),
    ],
)
def test_only_cluster_classes_are_started(name, message):
    with pytest.raises(InputError, match=f"cluster.kind: '{name}' {message}"):
        cluster_class(name)
    assert cluster_class("dask_jobqueue.SLURMCluster").__name__ == "SLURMCluster"
    assert cluster_class("dask_kubernetes.operator.KubeCluster").__name__ == "KubeCluster"


def test_a_class_with_wrong_options():
    with (
        pytest.raises(
            InputError, match=r"cluster: distributed.LocalCluster cannot be started with its options: .*colour"
        ),
        connect("distributed.LocalCluster", options={"colour": "red"}),
    ):
        pass


def test_any_class_with_a_fixed_size():
    options = {"n_workers": 0, "processes": False, "protocol": "tcp", "dashboard_address": None, "host": "127.0.0.1"}
    with connect("distributed.LocalCluster", workers=1, options=options) as client:
        assert len(client.nthreads()) == 1


# Whether workers are fit


def test_fit_workers(client, tmp_path):
    (tmp_path / "tn.tif").write_text("content")
    assert check_workers(client, [tmp_path / "tn.tif"], tmp_path) == []
    assert [p.name for p in tmp_path.iterdir()] == ["tn.tif"]


def test_other_versions_there(client, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "engine.execution.worker_checks.version", lambda package: "0.1" if package == "numpy" else version(package)
    )
    found = check_workers(client, [], tmp_path)
    assert len(found) == 2 and {(m.what, m.here, m.there, m.fatal) for m in found} == {
        ("numpy", "0.1", version("numpy"), True)
    }  # fmt: skip


def test_other_code_there(client, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.execution.worker_checks._code", lambda: "another")
    assert {m.what for m in check_workers(client, [], tmp_path)} == {"code of gelisol"}


def hide(path):
    os.rename(path, f"{path}.away")


class Vanishing(type(Path())):
    """A file that is gone once this process has looked at it: as on a disk that workers do not see."""

    def stat(self, **options):
        found = super().stat(**options)
        hide(self)
        return found


def test_a_file_that_workers_do_not_see(client, tmp_path):
    (tmp_path / "tn.tif").write_text("content")
    found = check_workers(client, [Vanishing(tmp_path / "tn.tif")], tmp_path)
    assert {(m.what, m.there) for m in found} == {
        ("files of the sources", f"{tmp_path}/tn.tif: No such file or directory")
    }
    assert all(m.fatal for m in found)
