"""Values: what is wrong is refused with a message that says what and where."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.helm.chart import CHART, objects, only, render, workload

SCHEMA = json.loads((CHART / "values.schema.json").read_text())

PUSH = {"sources": [{"name": "push", "ingest": {}}]}
TAIL = {"sources": [{"name": "house", "tail": {"paths": ["/log/*"], "format": "records"}}]}

PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
"""Of RFC 6335, section 5.1, by which Kubernetes goes."""


@pytest.mark.parametrize(
    ("values", "where", "what"),
    [
        ({"mode": "daemonsett"}, "/mode", "must be one of 'daemonset', 'statefulset'"),
        ({"replicas": 2}, "", "'replicas' not allowed"),
        ({"image": {"tags": "1"}}, "/image", "'tags' not allowed"),
        ({"image": {"digest": "0123"}}, "/image/digest", "does not match pattern"),
        ({"replicaCount": "2"}, "/replicaCount", "got string, want integer"),
        ({"podAnnotations": {"safe": True}}, "/podAnnotations/safe", "got boolean, want string"),
        ({"commonLabels": {"cost": 4711}}, "/commonLabels/cost", "got number, want string"),
        ({"hostLogs": {"paths": ["logs"]}}, "/hostLogs/paths/0", "does not match pattern"),
        ({"service": {"port": 94780}}, "/service/port", "maximum: got 94,780, want 65,535"),
        ({"ingress": {"hosts": ["a.example.com"]}}, "/ingress/hosts/0", "got string, want object"),
        ({"ingress": {"paths": []}}, "/ingress/paths", "minItems: got 0, want 1"),
        ({"route": {"main": {"paths": []}}}, "/route/main/paths", "minItems: got 0, want 1"),
        # The exporter's own configuration is checked as well.
        ({"config": {"sources": []}}, "/config/sources", "minItems: got 0, want 1"),
        ({"config": PUSH | {"label": {}}}, "/config", "'label' not allowed"),
        (
            {"config": {"sources": [{"name": "a", "tail": {"paths": ["/log/*"]}}]}},
            "/config/sources/0/tail",
            "missing property 'format'",
        ),
        (
            {"config": {"sources": [{"name": "a", "tail": {"paths": "/log/*", "format": "kong"}}]}},
            "/config/sources/0/tail/paths",
            "got string, want array",
        ),
        (
            {"config": PUSH | {"request_log": {"retention": "14 days"}}},
            "/config/request_log/retention",
            "does not match pattern",
        ),
    ],
)
def test_a_wrong_value_is_named(values: Mapping[str, Any], where: str, what: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refused:
        render(values)
    assert f"at '{where}': " in str(refused.value)
    assert what in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"mode": "statefulset", "replicaCount": 2, "config": TAIL},
            "config.sources: house reads a log, and each of several replicas would count all of it",
        ),
        (
            {"mode": "deployment", "autoscaling": {"enabled": True}, "config": TAIL},
            "set replicaCount to 1 and autoscaling.enabled to false",
        ),
        (
            {
                "mode": "deployment",
                "config": {
                    "sources": [
                        {
                            "name": "edge",
                            "proxy": {"listen": "127.0.0.1:8080", "upstream": "http://up:1"},
                        }
                    ]
                },
            },
            "the proxy edge listens at 127.0.0.1:8080, which nothing outside its pod reaches",
        ),
        (
            {"configExistingConfigMapName": "a", "configExistingSecretName": "b"},
            "only one can be used",
        ),
        ({"autoscaling": {"enabled": True}}, "mode daemonset has no number of replicas"),
        (
            {
                "mode": "statefulset",
                "replicaCount": 3,
                "config": PUSH,
                "persistence": {"existingClaim": "state"},
            },
            "replicas cannot share a state",
        ),
        ({"ingress": {"enabled": True}}, "set ingress.hosts to the names that lead to it"),
        ({"web": {"tls": True}}, "set web.configExistingSecretName"),
        (
            {"mode": "sidecar", "serviceMonitor": {"enabled": True}},
            "a sidecar has no service; set podMonitor.enabled",
        ),
        (
            {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
            "both would count every request twice",
        ),
        ({"mode": "sidecar", "podMonitor": {"enabled": True}}, "set sidecar.podSelector"),
    ],
)
def test_values_that_do_not_go_together_are_refused(
    values: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(helm_python.HelmRenderError) as refused:
        render(values)
    assert message in str(refused.value)


def test_a_sidecars_proxy_may_listen_to_its_pod_alone() -> None:
    proxy = {"listen": "127.0.0.1:8080", "upstream": "http://127.0.0.1:4000"}
    found = objects(
        render({"mode": "sidecar", "config": {"sources": [{"name": "edge", "proxy": proxy}]}})
    )
    assert proxy["listen"] in only("ConfigMap", found)["data"]["config.yaml"]


def test_the_schema_knows_every_value_and_no_other() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    # What any chart may be given where it is a dependency.
    assert names_of(SCHEMA) - {"global", "enabled"} == names_of(SCHEMA, defaults)


def test_every_value_is_used_by_a_template() -> None:
    texts = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    unused = [
        name
        for name in names_of(SCHEMA) - {"enabled"}
        if not re.search(rf'[."]{name.rpartition(".")[2]}\b', texts)
    ]
    assert unused == []


def names_of(
    schema: Mapping[str, Any], values: Mapping[str, Any] | None = None, path: str = ""
) -> set[str]:
    """Paths of the schema's own values, or of `values` as deep as the schema goes."""
    found = set()
    for name in schema["properties"] if values is None else values:
        found.add(f"{path}{name}")
        below = schema["properties"].get(name, {})
        if below.get("additionalProperties") is False:
            deeper = values and values[name]
            found |= names_of(below, deeper, f"{path}{name}.")
    return found


def test_a_name_is_never_too_long_for_what_is_made_of_it() -> None:
    values = {
        "fullnameOverride": "x" * 63,
        "mode": "statefulset",
        "config": PUSH,
        "dashboards": {"enabled": True},
    }
    for each in objects(render(values)):
        longest = 52 if each["kind"] == "StatefulSet" else 253
        assert len(each["metadata"]["name"]) <= longest
        assert len(each["metadata"]["labels"]["app.kubernetes.io/name"]) <= 63


def test_the_nearer_of_two_labels_wins_and_none_changes_what_is_selected_by() -> None:
    selecting = {"app.kubernetes.io/name": "mine", "app.kubernetes.io/instance": "mine"}
    own = {"app.kubernetes.io/version": "own", "team": "own", **selecting}
    values = {
        "commonLabels": {"team": "common", "helm.sh/chart": "common", **selecting},
        "podLabels": own,
        "podAnnotations": {"checksum/config": "own"},
        "service": {"labels": own},
        "serviceMonitor": {"enabled": True, "additionalLabels": own},
    }
    found = objects(render(values))
    pod = workload(found)["spec"]["template"]["metadata"]
    metadata = [only(kind, found)["metadata"] for kind in ("Service", "ServiceMonitor")]
    for each in [pod, *metadata]:
        assert each["labels"] == {
            "helm.sh/chart": "common",
            "app.kubernetes.io/name": "llm-gateway-exporter",
            "app.kubernetes.io/instance": "demo",
            "app.kubernetes.io/version": "own",
            "app.kubernetes.io/managed-by": "Helm",
            "team": "own",
        }
    assert only("ConfigMap", found)["metadata"]["labels"]["team"] == "common"
    assert pod["annotations"]["checksum/config"] != "own"


def test_null_takes_a_default_away() -> None:
    values = dict.fromkeys(["resources", "podSecurityContext", "livenessProbe"])
    values |= dict.fromkeys(["commonLabels", "podLabels", "podAnnotations"])
    pod = workload(objects(render(values)))["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"supplementalGroups": [0]}
    assert "initContainers" not in pod
    assert not {"resources", "livenessProbe"} & set(pod["containers"][0])


def test_proxies_get_ports_of_the_pod_and_of_the_service() -> None:
    sources = [
        {"name": "Model_API_of_Berlin", "proxy": {"listen": "[::]:8080", "upstream": "http://a:1"}},
        {"name": "edge", "proxy": {"listen": ":8081", "upstream": "http://b:1"}},
    ]
    found = objects(render({"mode": "statefulset", "config": {"sources": sources}}))
    container = workload(found)["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"][1:] == [
        {"name": "proxy-8080", "containerPort": 8080},
        {"name": "edge", "containerPort": 8081},
    ]
    assert only("Service", found)["spec"]["ports"][1:] == [
        {"name": "proxy-8080", "port": 8080, "targetPort": "proxy-8080"},
        {"name": "edge", "port": 8081, "targetPort": "edge"},
    ]


def test_whatever_proxies_are_called_their_ports_have_names_that_kubernetes_takes() -> None:
    names = ["edge_of_berlin-1", "edge_of_berlin-2", "http", "statsd", "8080", "a__b", "-a-", "on"]
    names += ["edge", "EDGE", "proxy-9000"]  # The first one's port: 9000.
    sources = [
        {"name": name, "proxy": {"listen": f":{port}", "upstream": "http://a:1"}}
        for port, name in enumerate(names, start=9000)
    ]
    extra = [{"name": "statsd", "port": 8125}]
    found = objects(
        render({"mode": "statefulset", "config": {"sources": sources}, "extraPorts": extra})
    )
    container = workload(found)["spec"]["template"]["spec"]["containers"][0]
    for ports in (container["ports"], only("Service", found)["spec"]["ports"]):
        named = [port["name"] for port in ports]
        assert len(set(named)) == len(named) == len(names) + 2
        assert [name for name in named if not PORT_NAME.fullmatch(name)] == []
        assert {"edge", "on"} < set(named)


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"mode": "statefulset", "config": PUSH}, "takes pushes from everybody who reaches it"),
        ({"persistence": {"enabled": False}}, "Each new pod reads its logs anew"),
        (
            {"ingress": {"enabled": True, "hosts": [{"host": "requests.example.com"}]}},
            "asks for no password",
        ),
        ({}, "nothing scrapes it yet"),
    ],
)
def test_the_notes_warn_of_what_is_open(values: Mapping[str, Any], warning: str) -> None:
    (notes,) = [text for name, text in render(values).items() if Path(name).name == "NOTES.txt"]
    assert warning in " ".join(notes.split())
