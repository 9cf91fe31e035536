"""The manifests against the operator's own schema and Kubernetes' types; unknown keys are errors."""

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes.client as k8s
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
yaml = YAML(typ="safe", pure=True)


def manifest(name: str) -> dict[str, Any]:
    return yaml.load(FOLDER / name)


def operator_schema(name: str) -> dict[str, Any]:
    """The schema of a custom resource of the installed operator; Kubernetes' own types are left open."""
    folder = resources.files("dask_kubernetes") / "operator" / "customresources"
    templates = yaml.load((folder / "templates.yaml").read_text())["definitions"]
    resource = yaml.load((folder / name).read_text())

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if reference := node.get("$ref"):
                name = reference.rpartition("/")[2]
                return resolved(templates[name]) if name in templates else {}
            return {key: resolved(value) for key, value in node.items()}
        return [resolved(value) for value in node] if isinstance(node, list) else node

    return closed(resolved(resource["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))


def closed(node: Any) -> Any:
    """The same schema, refusing keys that it does not know."""
    if isinstance(node, dict):
        node = {key: closed(value) for key, value in node.items()}
        if "properties" in node and node.get("type") == "object":
            node.setdefault("additionalProperties", False)
    return node


def test_the_cluster_is_one_to_the_operator():
    cluster = manifest("cluster.yaml")
    schema = operator_schema("daskcluster.yaml")
    schema["properties"] |= {name: {} for name in ("apiVersion", "kind", "metadata")}
    jsonschema.Draft202012Validator(schema).validate(cluster)
    crd = yaml.load((resources.files("dask_kubernetes") / "operator/customresources/daskcluster.yaml").read_text())
    assert cluster["kind"] == crd["spec"]["names"]["kind"]
    assert cluster["apiVersion"] == f"{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}"
    broken = {**cluster, "spec": {**cluster["spec"], "wokrer": {}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(broken)


def test_its_pods_and_service_are_kubernetes_own():
    spec = manifest("cluster.yaml")["spec"]
    k8s.V1PodSpec.model_validate(spec["worker"]["spec"])
    k8s.V1PodSpec.model_validate(spec["scheduler"]["spec"])
    k8s.V1ServiceSpec.model_validate(spec["scheduler"]["service"])


def test_the_job_is_one():
    job = manifest("job.yaml")
    k8s.V1Job.model_validate(job)
    misspelt = {**job, "spec": {**job["spec"], "retries": 3}}
    with pytest.raises(ValidationError, match="retries"):
        k8s.V1Job.model_validate(misspelt)


def pod_specs() -> list[dict[str, Any]]:
    cluster, job = manifest("cluster.yaml")["spec"], manifest("job.yaml")["spec"]
    return [cluster["worker"]["spec"], cluster["scheduler"]["spec"], job["template"]["spec"]]


def test_nobody_is_root_and_the_dashboard_is_on_loopback():
    for spec in pod_specs():
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 1000
        for container in spec["containers"]:
            context = container["securityContext"]
            assert not context["allowPrivilegeEscalation"] and context["readOnlyRootFilesystem"]
    scheduler = manifest("cluster.yaml")["spec"]["scheduler"]["spec"]["containers"][0]["args"]
    assert scheduler[scheduler.index("--dashboard-address") + 1].startswith("127.0.0.1:")


def test_their_commands_exist():
    worker, scheduler, run = (spec["containers"][0] for spec in pod_specs())
    assert worker["args"][:2] == ["dask", "worker"] and scheduler["args"][:2] == ["dask", "scheduler"]
    for line in (worker["args"], scheduler["args"], run["command"]):
        command = [Path(sys.executable).with_name(line[0]), line[1], "--help"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"})
        assert [a for a in line if a.startswith("--") and a not in said.stdout] == []


def test_scheduler_and_run_are_on_nodes_that_stay():
    worker, scheduler, run = pod_specs()
    assert scheduler["nodeSelector"] == run["nodeSelector"] == {"node-lifecycle": "stable"}
    assert worker["tolerations"][0]["value"] == "spot" and "nodeSelector" not in worker


def test_the_service_finds_the_scheduler():
    service = manifest("cluster.yaml")["spec"]["scheduler"]["service"]
    name = manifest("cluster.yaml")["metadata"]["name"]
    assert service["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    address = yaml.load(FOLDER / "cluster.run.yaml")["cluster"]["address"]
    assert address.startswith(f"tcp://{name}-scheduler.") and address.endswith(f":{service['ports'][0]['port']}")


def test_what_is_wrong_with_the_input_ends_the_job():
    rules = manifest("job.yaml")["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["action"] == "FailJob" and rules[0]["onExitCodes"]["values"] == [1, 2]
