"""A daemon under load whose receiver goes away, and that is killed itself."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.vocabulary import REQUESTS
from tests.daemon import Daemon
from tests.export.otlp.receiver import Answer, HttpReceiver, attributes
from tests.waiting import free_port, wait_until

OUTAGE_S = 5.0
LINES_A_TICK = 40
TICK_S = 0.1
MOST_GROWTH_MIB = 24


class Load:
    """A gateway that logs a request now and then.

    Attributes:
        written: requests logged so far; ids are `req-0` and so on.
    """

    def __init__(self, path: Path) -> None:
        self.written = 0
        self._path = path
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        path.touch()

    def _run(self) -> None:
        with self._path.open("a") as log:
            while not self._stopping.wait(TICK_S):
                for number in range(self.written, self.written + LINES_A_TICK):
                    log.write(
                        json.dumps(
                            {
                                "request_id": f"req-{number}",
                                "model": f"model-{number % 7}",
                                "status_code": 200,
                                "start_time": time.time(),
                                "latency_s": 0.5,
                                "output_tokens": 10,
                            }
                        )
                        + "\n"
                    )
                log.flush()
                self.written += LINES_A_TICK

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Log no more."""
        self._stopping.set()
        self._thread.join()


def configured(directory: Path, log: Path, url: str) -> Path:
    config = directory / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "state_dir": str(directory / "state"),
                "sources": [{"name": "log", "tail": {"paths": [str(log)], "format": "records"}}],
                "commit_interval": "100ms",
                "otlp": [
                    {
                        "name": "receiver",
                        "endpoint": url,
                        "logs": True,
                        "interval": "500ms",
                        "timeout": "1s",
                    }
                ],
            }
        )
    )
    return config


def requests_told(receiver: HttpReceiver) -> list[float]:
    """The counter of successful requests as each push told it, summed over the models."""
    by_time: dict[int, float] = {}
    for point in receiver.points(REQUESTS.name):
        by_time[point.time_unix_nano] = by_time.get(point.time_unix_nano, 0) + point.as_double
    return [by_time[time_ns] for time_ns in sorted(by_time)]


def ids_told(receiver: HttpReceiver) -> list[object]:
    return [attributes(record)["llm_gateway.request.id"] for record in receiver.records()]


def wait_for_counts(daemon: Daemon, requests: int) -> None:
    wait_until(lambda: daemon.total("llm_gateway_requests_total") >= requests, 10)


def resident_mib(daemon: Daemon) -> float:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.fault("OTLP endpoint that comes and goes")
def test_an_outage_under_load_loses_nothing_and_harms_nobody(tmp_path: Path) -> None:
    load, port = Load(tmp_path / "log.jsonl"), free_port()
    config = configured(tmp_path, tmp_path / "log.jsonl", f"http://127.0.0.1:{port}")
    with Daemon(config).wait_ready() as daemon, load.running():
        with HttpReceiver(port=port) as before:
            wait_until(lambda: len(before.records()) > 100, 20)
            before.usually = Answer(status="503", retry_after_s=1)
            wait_until(lambda: daemon.total("llm_gateway_exporter_otlp_failures_total") > 0, 20)
            before.usually = Answer(hangs=True)
            wait_until(
                lambda: daemon.total("llm_gateway_exporter_otlp_failures_total", reason="timeout"),
                20,
            )
        began, memory = time.monotonic(), resident_mib(daemon)
        while time.monotonic() - began < OUTAGE_S:
            wait_for_counts(daemon, load.written)
            assert daemon.get("/-/healthy")[0] == 200
        assert daemon.total("llm_gateway_exporter_otlp_queued", signal="logs") > 0
        assert daemon.total("llm_gateway_exporter_otlp_oldest_unsent_age_seconds") > OUTAGE_S
        assert resident_mib(daemon) - memory < MOST_GROWTH_MIB
        with HttpReceiver(port=port) as after:
            load.stop()
            everything = [f"req-{number}" for number in range(load.written)]
            known = set(ids_told(before))
            wait_until(lambda: len(known | set(ids_told(after))) == load.written, 90)
            wait_until(lambda: requests_told(after)[-1:] == [load.written], 30)
    told = ids_told(before) + ids_told(after)
    assert list(dict.fromkeys(told)) == everything
    cumulative = requests_told(before) + requests_told(after)
    assert cumulative == sorted(cumulative)


@pytest.mark.fault("kill -9 of the daemon")
def test_a_daemon_that_is_killed_again_and_again_still_tells_everything(tmp_path: Path) -> None:
    load = Load(tmp_path / "log.jsonl")
    with HttpReceiver() as receiver, load.running():
        config = configured(tmp_path, tmp_path / "log.jsonl", receiver.url)
        for _ in range(3):
            with Daemon(config).wait_ready() as daemon:
                receiver.arrived.clear()
                wait_until(lambda: len(receiver.arrived) > 3, 20)
                daemon.end(signal.SIGKILL)
        load.stop()
        with Daemon(config).wait_ready():
            wait_until(lambda: len(set(ids_told(receiver))) == load.written, 30)
            wait_until(lambda: requests_told(receiver)[-1:] == [load.written], 30)
    assert list(dict.fromkeys(ids_told(receiver))) == [f"req-{n}" for n in range(load.written)]
    uids = {attributes(r)["log.record.uid"] for r in receiver.records()}
    assert len(uids) == load.written
    cumulative = requests_told(receiver)
    assert cumulative == sorted(cumulative)
    assert max(cumulative) == load.written
    starts: dict[str, set[int]] = {}
    for point in receiver.points(REQUESTS.name):
        starts.setdefault(str(attributes(point)), set()).add(point.start_time_unix_nano)
    assert {len(of_series) for of_series in starts.values()} == {1}
