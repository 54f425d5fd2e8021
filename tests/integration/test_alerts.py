"""From a log line to a page: the daemon, Prometheus and Alertmanager as they run in production."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.alerting.definitions import Definitions
from tests.alerting.rulefiles import written
from tests.alertmanager import Alertmanager, Mailbox
from tests.conftest import StartPrometheus
from tests.daemon import Daemon
from tests.prometheus import Prometheus, scrape_config
from tests.waiting import wait_until


@dataclass
class Gateway:
    """Writes a log: a busy model, and one with a request now and then.

    Attributes:
        status: of the busy model's requests.
    """

    log: Path
    status: int = 200
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with self.log.open("ab", buffering=0) as log:
            turn = 0
            while not self._ended.wait(0.1):
                log.write(_line("busy", self.status) * 20)
                if turn % 20 == 0:
                    log.write(_line("night", 500 if turn % 60 == 20 else 200))
                turn += 1

    def end(self) -> None:
        self._ended.set()


def _line(model: str, status: int) -> bytes:
    record = {"model": model, "provider": "p", "operation": "chat", "status_code": status}
    return json.dumps({**record, "latency": 0.5}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Stack:
    gateway: Gateway
    prometheus: Prometheus
    alertmanager: Alertmanager
    mailbox: Mailbox

    def states(self, model: str) -> set[tuple[str, str]]:
        """Name and state of the alerts of a model in Prometheus."""
        return {
            (alert["labels"]["alertname"], alert["state"])
            for alert in self.prometheus.get("alerts")["alerts"]
            if alert["labels"].get("gen_ai_request_model") == model
        }

    def told(self, path: str) -> list[Mapping[str, Any]]:
        return list(self.mailbox.received[path])


def definitions(mailbox: str, daemon: str) -> Definitions:
    """An alert whose group is told at once, and two with hours of a day that is six hours ahead.

    By these it is now in Dhaka, and later in UTC.
    """
    ahead = datetime.now(UTC) + timedelta(hours=6)
    times = [{"start": f"{ahead:%H:00}", "end": f"{ahead + timedelta(hours=2):%H:00}"}]
    watched = {
        "metric": "error_rate",
        "period": "5s",
        "periods": 2,
        # So near that a rise is over both at once: else the milder is told first, rightly.
        "severities": {"critical": "15%", "warning": "10%"},
    }
    return Definitions.model_validate(
        {
            "interval": "1s",
            "links": {"requests": f"http://{daemon}", "runbooks": "https://wiki.example"},
            "notifications": {
                "wait": "3s",
                "wait_between": "1s",
                "groups": [
                    {"name": name, "receivers": [{"webhook": {"url": f"{mailbox}/{name}"}}]}
                    for name in ("oncall", "office", "dhaka")
                ],
                "hours": {
                    "later": {"timezone": "UTC", "times": times},
                    "now": {"timezone": "Asia/Dhaka", "times": times},
                },
            },
            "alerts": [
                {"name": "ErrorRate", **watched, "notify": ["oncall"]},
                {"name": "ErrorRateLater", **watched, "notify": ["office"], "hours": "later"},
                {"name": "ErrorRateInDhaka", **watched, "notify": ["dhaka"], "hours": "now"},
            ],
        }
    )


@pytest.fixture
def stack(
    tmp_path: Path, start_prometheus: StartPrometheus, alertmanager_program: Path
) -> Iterator[Stack]:
    log, config_file = tmp_path / "gateway.jsonl", tmp_path / "config.yaml"
    log.touch()
    config_file.write_text(
        f"state_dir: {tmp_path / 'state'}\ncommit_interval: 100ms\nsources:\n"
        f"  - {{name: gateway, tail: {{paths: [{log}], format: records}}}}\n"
    )
    with ExitStack() as running:
        daemon = running.enter_context(Daemon(config_file)).wait_ready()
        mailbox = running.enter_context(Mailbox())
        made = written(definitions(mailbox.url, daemon.address), tmp_path / "made")
        alertmanager = running.enter_context(
            Alertmanager(alertmanager_program, tmp_path / "am", made / "alertmanager.yaml")
        )
        config = json.loads(scrape_config(daemon.address))
        config["rule_files"] = [f"{made}/prometheus/*.yaml"]
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]
        }
        prometheus = start_prometheus(json.dumps(config))
        gateway = Gateway(log)
        traffic = threading.Thread(target=gateway.run)
        traffic.start()
        try:
            yield Stack(gateway, prometheus, alertmanager, mailbox)
        finally:
            gateway.end()
            traffic.join()


def test_an_incident_is_pending_fires_is_told_once_at_its_worst_and_resolves(stack: Stack) -> None:
    error_rate = 'model:llm_gateway_error:ratio5s{gen_ai_request_model="busy"}'
    wait_until(lambda: stack.prometheus.value(error_rate) == 0.0, 30, "traffic without errors")
    assert stack.states("busy") == set()

    stack.gateway.status = 500
    wait_until(lambda: ("ErrorRate", "pending") in stack.states("busy"), 20, "it to be pending")
    assert stack.told("/oncall") == []
    wait_until(lambda: stack.told("/oncall"), 30, "a notification", every_s=0.1)
    assert ("ErrorRate", "firing") in stack.states("busy")
    (page,) = stack.told("/oncall")
    assert page["status"] == "firing"
    assert page["groupLabels"] == {"alertname": "ErrorRate", "severity": "critical"}
    (alert,) = page["alerts"]
    assert alert["labels"]["gen_ai_request_model"] == "busy"
    summary = alert["annotations"]["summary"]
    assert summary.startswith("Error Rate: busy: error rate is ")
    assert summary.endswith("which is above 15%")
    assert alert["annotations"]["requests_url"].endswith("/requests?model=busy&status=error")
    assert alert["annotations"]["runbook_url"] == "https://wiki.example/error-rate.md"
    inhibited = [
        each["labels"]["alertname"]
        for each in stack.alertmanager.alerts()
        if each["labels"]["severity"] == "warning" and each["status"]["inhibitedBy"]
    ]
    assert set(inhibited) == {"ErrorRate", "ErrorRateLater", "ErrorRateInDhaka"}
    wait_until(lambda: stack.told("/dhaka"), 10, "a notification within hours of another zone")

    stack.gateway.status = 200
    wait_until(
        lambda: [
            page
            for page in stack.told("/oncall")
            if page["status"] == "resolved" and page["groupLabels"]["severity"] == "critical"
        ],
        40,
        "the notification that it resolved",
        every_s=0.1,
    )
    told = stack.told("/oncall")
    assert {
        alert["labels"]["gen_ai_request_model"] for page in told for alert in page["alerts"]
    } == {"busy"}, "one failure at low traffic paged somebody"
    failed = 'sum(llm_gateway_requests_total{gen_ai_request_model="night",error_type!=""})'
    assert stack.prometheus.value(failed), "the quiet model had no failure to be silent about"
    assert stack.told("/office") == [], "somebody was told outside their hours"
