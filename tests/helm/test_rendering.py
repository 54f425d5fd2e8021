"""What the chart renders for each way of installing it, and that Kubernetes takes it."""

import runpy
import shutil
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions

from tests.helm.chart import (
    CHART,
    RENDERED,
    ROOT,
    WAYS,
    Object,
    document,
    objects,
    only,
    render,
    rendered,
    values_of,
    workload,
)

OLDEST, *_, NEWEST = all_versions()
CUSTOM = yaml.safe_load(Path(__file__).with_name("crds.yaml").read_text())


def refuse_what_kubernetes_refuses(found: Object, version: str) -> None:
    """Raise for an object that does not fit its schema."""
    kind = f"{found['apiVersion']}/{found['kind']}"
    if kind not in CUSTOM["kinds"]:
        kubernetes_validate.validate(found, version, strict=True)
        return
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {},
            "kind": {},
            "metadata": {"$ref": "#/definitions/metadata"},
            "spec": CUSTOM["kinds"][kind],
        },
        "definitions": CUSTOM["definitions"],
    }
    jsonschema.validate(found, schema)


@pytest.mark.parametrize("way", WAYS)
def test_helm_finds_nothing_to_warn_of(way: str) -> None:
    report = helm_python.lint(CHART, dict(values_of(way)), strict=True, quiet=True)
    assert report["errors"] == []
    assert [found["error"] for found in report["messages"]] in ([], ["icon is recommended"])


@pytest.mark.parametrize("way", WAYS)
def test_what_is_rendered_is_what_was_looked_at(way: str) -> None:
    assert document(rendered(way)) == (RENDERED / f"{way}.yaml").read_text(), "run `make generate`"


def test_nothing_is_kept_of_a_way_that_is_no_more() -> None:
    assert sorted(path.stem for path in RENDERED.iterdir()) == WAYS


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("way", WAYS)
def test_every_object_fits_its_schema(way: str, version: str) -> None:
    found = objects(rendered(way))
    assert found
    for each in found:
        refuse_what_kubernetes_refuses(each, version)


def test_the_schemas_refuse_what_kubernetes_would_drop() -> None:
    monitor = only("ServiceMonitor", objects(rendered("push")))
    monitor["spec"]["endpoints"][0]["intervall"] = "30s"
    with pytest.raises(jsonschema.ValidationError, match="intervall"):
        refuse_what_kubernetes_refuses(monitor, NEWEST)
    pod = workload(objects(rendered("push")))
    pod["spec"]["template"]["spec"]["tolerationz"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="tolerationz"):
        refuse_what_kubernetes_refuses(pod, OLDEST)


def test_the_oldest_kubernetes_that_was_looked_at_is_the_oldest_that_the_chart_takes() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={OLDEST}-0"


@pytest.mark.parametrize("way", [way for way in WAYS if way != "sidecar"])
def test_a_pod_may_do_nothing_that_it_need_not(way: str) -> None:
    pod = workload(objects(rendered(way)))["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"llm-gateway-exporter-state", "llm-gateway-exporter-tmp"}


@pytest.mark.parametrize(
    ("way", "kept_by"), [("kube-prometheus-stack", "pod_node_name"), ("push", "pod_name")]
)
def test_a_series_instance_is_what_outlives_a_pod(way: str, kept_by: str) -> None:
    (endpoint,) = only("ServiceMonitor", objects(rendered(way)))["spec"]["endpoints"]
    assert endpoint["relabelings"][0] == {
        "sourceLabels": [f"__meta_kubernetes_{kept_by}"],
        "targetLabel": "instance",
    }
    dropped = [rule["regex"] for rule in endpoint["relabelings"] if rule.get("action")]
    assert dropped == (["pod"] if kept_by == "pod_node_name" else [])


def test_from_outside_the_pages_are_reached_and_no_series_or_pushes() -> None:
    found = objects(rendered("secured"))
    (rule,) = only("Ingress", found)["spec"]["rules"]
    (route,) = only("HTTPRoute", found)["spec"]["rules"]
    ways_in = [(way["pathType"], way["path"]) for way in rule["http"]["paths"]]
    matches = [(match["path"]["type"], match["path"]["value"]) for match in route["matches"]]
    below = ["/requests", "/api/v1", "/static"]
    assert ways_in == [("Exact", "/"), *(("Prefix", path) for path in below)]
    assert matches == [("Exact", "/"), *(("PathPrefix", path) for path in below)]


@pytest.mark.parametrize("mode", ["daemonset", "statefulset", "deployment"])
def test_a_new_configuration_replaces_the_pods_and_nothing_else_does(mode: str) -> None:
    def checksum(limit: int, replicas: int) -> str:
        config = {"sources": [{"name": "push", "ingest": {}}], "labels": {"limit": limit}}
        values = {"mode": mode, "config": config, "replicaCount": replicas}
        template = workload(objects(render(values)))["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum(200, 1) == checksum(200, 2)
    assert checksum(200, 1) != checksum(300, 1)


def test_two_releases_on_a_node_keep_their_states_apart() -> None:
    def directory(name: str) -> str:
        pod = workload(objects(render({"fullnameOverride": name})))["spec"]["template"]["spec"]
        (path,) = [
            volume["hostPath"]["path"]
            for volume in pod["volumes"]
            if volume["name"] == "llm-gateway-exporter-state"
        ]
        return str(path)

    assert directory("one") == "/var/lib/llm-gateway-exporter/llm-one"
    assert directory("two") == "/var/lib/llm-gateway-exporter/llm-two"


def gateways_chart(directory: Path) -> Path:
    """The chart of a gateway, with this one among its dependencies."""
    parent = directory / "gateway"
    shutil.copytree(Path(__file__).with_name("gateway-chart"), parent)
    shutil.copytree(CHART, parent / "charts" / "llm-gateway-exporter")
    return parent


def test_a_gateways_chart_takes_it_as_a_dependency_twice(tmp_path: Path) -> None:
    parent = gateways_chart(tmp_path)
    assert helm_python.lint(parent, {}, strict=True, with_subcharts=True)["errors"] == []
    found = objects(render({}, parent))
    for each in found:
        refuse_what_kubernetes_refuses(each, NEWEST)  # Sidecars that are init containers: 1.28.

    gateway = only("Deployment", found)["spec"]["template"]["spec"]
    (sidecar,) = gateway["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["image"] == "registry.example.com/llm-gateway-exporter:0.1.0"
    mounted = {mount["name"] for mount in sidecar["volumeMounts"]}
    assert mounted == {volume["name"] for volume in gateway["volumes"]}
    names = {each["metadata"]["name"] for each in found if each["kind"] == "ConfigMap"}
    assert names == {"gateway-sidecar", "demo-exporter"}
    assert only("DaemonSet", found)["metadata"]["name"] == "demo-exporter"

    switched_off = objects(render({"exporter": {"enabled": False}}, parent))
    assert {each["kind"] for each in switched_off} == {"ConfigMap", "Deployment", "PodMonitor"}


def test_a_sidecars_port_is_not_taken_for_one_of_the_gateways(tmp_path: Path) -> None:
    found = objects(render({}, gateways_chart(tmp_path)))
    pod = only("Deployment", found)["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    (gateway,) = pod["containers"]
    (port,) = sidecar["ports"]
    assert port["name"] not in [each["name"] for each in gateway["ports"]]
    (endpoint,) = only("PodMonitor", found)["spec"]["podMetricsEndpoints"]
    probes = [sidecar[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness", "startup")]
    assert {endpoint["port"], *(probe["port"] for probe in probes)} == {port["name"]}


def test_what_the_chart_has_from_elsewhere_is_fresh() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write-chart"))
    wanted = script["files"]()
    stale = [str(path) for path, text in wanted.items() if path.read_text() != text]
    assert stale == [], "run `make generate`"
    assert script["copies"]() <= set(wanted), "run `make generate`"
