"""The pod's command runs, with the files and the rights that the chart gives it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import bcrypt
import trustme

from tests.formats.samples import litellm
from tests.helm.chart import Object, objects, render, values_of, workload
from tests.helm.pod import USER, Files, Pod, has_roots, in_root
from tests.waiting import free_port, wait_until

LOG_OF_A_POD = "llm_litellm-7d9f-abcde_0c3f/litellm/0.log"
"""Below /var/log/pods: NAMESPACE_POD_UID/CONTAINER/RESTARTS.log."""


def installed(way: str) -> tuple[Object, dict[str, Files]]:
    """A way's workload, on a free port, and the volume with its configuration."""
    values = values_of(way)
    web = {**values.get("web", {}), "port": free_port()}
    found = objects(render({**values, "web": web}))
    (config,) = [each for each in found if "config.yaml" in each.get("data", {})]
    return workload(found), {"llm-gateway-exporter-config": config["data"]}


def container_log(lines: list[str]) -> str:
    """What containerd writes of lines that a container prints."""
    return "".join(f"2026-11-28T10:00:00.000000000Z stdout F {line}\n" for line in lines)


def test_a_daemonsets_pod_counts_a_pods_log_once_even_when_it_is_replaced(tmp_path: Path) -> None:
    daemonset, volumes = installed("default")
    lines = [json.dumps(litellm(id=f"chatcmpl-{number}")) for number in range(7)]
    volumes["logs-0"] = {LOG_OF_A_POD: container_log(lines)}

    def requests(pod: Pod) -> float:
        samples = [
            float(line.rpartition(" ")[2])
            for line in pod.get("/metrics")[1].splitlines()
            if line.startswith("llm_gateway_requests_total{")
        ]
        return sum(samples)

    with Pod(daemonset, volumes, tmp_path) as pod:
        pod.wait_ready()
        assert pod.answers("livenessProbe")
        assert pod.answers("startupProbe")
        wait_until(lambda: requests(pod) == 7, what="all requests to be counted")
        pod.process.send_signal(signal.SIGTERM)
        grace_s = daemonset["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert pod.process.wait(grace_s) == 0

    with Pod(daemonset, volumes, tmp_path) as replacement:
        replacement.wait_ready()
        assert requests(replacement) == 7


def test_a_statefulsets_pod_takes_pushes_with_the_token_of_its_secret(tmp_path: Path) -> None:
    statefulset, volumes = installed("push")
    line = json.dumps({"request_id": "1", "model": "qwen-plus", "status_code": 200}).encode()
    with Pod(statefulset, volumes, tmp_path, PUSH_TOKEN="a-token") as pod:
        pod.wait_ready()
        assert pod.get("/ingest/records", data=line) == (
            200,
            '{"accepted": 1, "repeated": 0, "skipped": 0}\n',
        )
    with Pod(statefulset, volumes, tmp_path, PUSH_TOKEN="another-token") as pod:
        pod.wait_ready()
        assert pod.get("/ingest/records", data=line)[0] == 401


def test_the_probes_of_a_pod_need_no_password_and_all_else_does(tmp_path: Path) -> None:
    statefulset, volumes = installed("secured")
    certificate = trustme.CA().issue_cert("llm-gateway-exporter")
    password = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    volumes["llm-gateway-exporter-web"] = {
        "web-config.yml": json.dumps(
            {
                "tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"},
                "basic_auth_users": {"scraper": password},
            }
        ),
        "tls.crt": certificate.cert_chain_pems[0].bytes().decode(),
        "tls.key": certificate.private_key_pem.bytes().decode(),
    }
    with Pod(statefulset, volumes, tmp_path) as pod:
        pod.wait_ready()
        assert pod.answers("livenessProbe")
        for path in ("/", "/metrics", "/requests", "/api/v1/requests"):
            assert pod.get(path, "https")[0] == 401


def test_an_init_container_gives_the_state_to_the_exporters_user(tmp_path: Path) -> None:
    daemonset, _ = installed("default")
    (own,) = daemonset["spec"]["template"]["spec"]["initContainers"]
    python, *arguments = own["command"]
    assert python == "python3"
    assert arguments[2:] == ["/var/lib/llm-gateway-exporter", str(USER), str(USER)]
    user = USER if os.geteuid() == 0 else os.geteuid()  # Others can give nothing away.
    given = [*arguments[:2], str(tmp_path), str(user), "-1"]
    subprocess.run([sys.executable, *given], check=True)
    assert tmp_path.stat().st_uid == user


def test_an_imitated_root_is_read_only(tmp_path: Path) -> None:
    if not has_roots():
        return  # Nothing is imitated here: the pods above ran with their paths moved.
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "tmp").chmod(0o777)
    write = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('x')"
    for path, refused in {"/tmp/x": False, "/x": True, f"{sys.prefix}/x": True}.items():
        command = in_root([sys.executable, "-c", write, path], root, ["/tmp"])
        tried = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ("Read-only file system" in tried.stderr) == refused, tried.stderr
    assert (root / "tmp" / "x").read_text() == "x"
