"""Every command that the documentation shows works, as it stands there."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from exporter.demo import payloads
from tests.daemon import Daemon
from tests.documented import FENCE, ROOT, Sandbox, Script, scripts
from tests.formats import samples
from tests.prometheus import Prometheus, scrape_config
from tests.waiting import free_port

ELSEWHERE = {
    "make": "it installs and runs what this test is a part of",
    "pip": "tests/install installs the wheel",
    "systemctl": "systemd runs no services within a test; tests/install checks the unit",
    "docker": "no container engine can be had; tests/install checks what it is given",
    "helm": "there is no cluster; tests/helm renders the chart with Helm's own engine",
}
"""Programs that cannot run within a test, and why."""

SHOWN_ID = "chatcmpl-8e36f2c720ab0e21"


def blocks(page: str, language: str) -> list[str]:
    """The texts in a language of a page, in order."""
    text = (ROOT / page).read_text()
    return [found for named, found in FENCE.findall(text) if named == language]


def lines(start: float, end: float) -> list[dict[str, object]]:
    """A LiteLLM gateway's log between two epoch seconds."""
    return list(takewhile(lambda line: line["endTime"] < end, payloads(7, start)))  # type: ignore[operator]


def written(sandbox: Sandbox, name: str, payloads: list[dict[str, object]]) -> None:
    sandbox.write(name, "".join(json.dumps(payload) + "\n" for payload in payloads))


@pytest.fixture(scope="module")
def sandbox(
    tmp_path_factory: pytest.TempPathFactory, prometheus_program: Path
) -> Iterator[Sandbox]:
    """The README's configuration at work on a log, with the push door open, and a Prometheus."""
    directory = tmp_path_factory.mktemp("documented")
    address = f"127.0.0.1:{free_port()}"
    stands_for = {
        # It runs already: see that it is the documented one that answers.
        "llm-gateway-exporter run --config.file config.yaml --web.listen-address": "curl",
        "127.0.0.1:9478": address,
        "/var/log/litellm": f"{directory}/log",
        "/var/lib/llm-gateway-exporter": f"{directory}/state",
        "/etc/llm-gateway-exporter": f"{directory}/etc",
        "/var/lib/prometheus/data": f"{directory}/blocks",
        "test kong FILE": "test kong kong.log",
    }
    sandbox = Sandbox(directory, stands_for)
    now = time.time()
    today = lines(now - 300, now)
    today[-1]["id"] = SHOWN_ID
    written(sandbox, "log/gateway.jsonl", today)
    written(sandbox, "log/old-1.jsonl", lines(now - 3 * 86_400, now - 3 * 86_400 + 60))
    written(sandbox, "kong.log", [samples.kong()])
    sandbox.write("etc/push-token", "a-token")
    configuration = yaml.safe_load(blocks("README.md", "yaml")[0])
    configuration["sources"] += yaml.safe_load(blocks("docs/push.md", "yaml")[0])["sources"]
    config_file = sandbox.write("config.yaml", yaml.safe_dump(configuration))
    with ExitStack() as running:
        running.enter_context(Daemon(config_file, address=address)).wait_ready()
        prometheus = running.enter_context(
            Prometheus(prometheus_program, directory / "prometheus", scrape_config(address))
        )
        yield Sandbox(directory, stands_for | {"http://127.0.0.1:9090": prometheus.url})


def runs_here(script: Script) -> bool:
    return not script.programs & ELSEWHERE.keys()


def test_what_runs_elsewhere_is_in_the_documentation() -> None:
    shown = set[str]().union(*(script.programs for script in scripts()))
    assert ELSEWHERE.keys() - shown == set()


@pytest.mark.parametrize("script", [each for each in scripts() if runs_here(each)], ids=str)
def test_it_works(script: Script, sandbox: Sandbox) -> None:
    sandbox.write("alerts.yaml", blocks("docs/alerts.md", "yaml")[0])
    alarms = ROOT / "tests" / "alerting" / "imports" / "cloudwatch.json"
    sandbox.write("alarms.json", alarms.read_text())
    run = sandbox.run(script)
    assert run.returncode == 0, run.stdout + run.stderr
