"""Several processes that share the files: one exposition, one request log, each request once."""

import json
import os
import random
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from exporter.requestlog.filter import Filter
from exporter.requestlog.search import RequestSearch
from tests.daemon import Daemon
from tests.export.otlp.receiver import GrpcReceiver, attributes
from tests.waiting import free_port, wait_until

REQUESTS = "llm_gateway_requests_total"
RECORDS = "llm_gateway_exporter_records_total"
INPUT = {"gen_ai_token_type": "input"}
LIMIT_S = 120
"""Two processes start on two cores, which the machine may have better use for."""


class Gateway(threading.Thread):
    """Appends requests to several logs, and rotates them, also to names of no usual form.

    Attributes:
        paths: where the logs are written.
        requests, input_tokens: what was written in whole lines.
    """

    def __init__(self, directory: Path, logs: int = 5) -> None:
        super().__init__(daemon=True)
        self.paths = [directory / f"gateway-{number}.jsonl" for number in range(logs)]
        self._stopping = threading.Event()
        self._random = random.Random(4)
        self.requests = 0
        self.input_tokens = 0
        self.rotations = 0

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(self._random.uniform(0, 0.03)):
            self.write(self._random.choice(self.paths), self._random.randrange(1, 20))

    def write(self, path: Path, requests: int) -> None:
        if path.exists() and path.stat().st_size > 30_000:
            self._rotate(path)
        lines = b"".join(self._line() for _ in range(requests))
        with path.open("ab", buffering=0) as file:
            cut = self._random.randrange(len(lines))
            file.write(lines[:cut])
            file.write(lines[cut:])

    def _rotate(self, path: Path) -> None:
        self.rotations += 1
        stamp = f"2026-11-28T11-00-{self.rotations:02}.{self.rotations:03}"
        names = (f"{path.name}.{self.rotations + 100}", f"{path.stem}-{stamp}.jsonl")
        path.rename(path.with_name(names[self.rotations % 2]))

    def _line(self) -> bytes:
        tokens = self._random.randrange(1, 1000)
        request = {
            "request_id": f"{self.requests:08}",
            "model": self._random.choice(["small", "large"]),
            "status_code": self._random.choice([200, 200, 200, 429]),
            "start_time": time.time(),
            "latency_s": self._random.random(),
            "input_tokens": tokens,
            "output_tokens": 1,
        }
        self.requests += 1
        self.input_tokens += tokens
        return json.dumps(request).encode() + b"\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    if gateway.is_alive():
        gateway.stop()


def configuration(directory: Path, **settings: Any) -> Path:
    """A configuration of two processes on the gateway's logs."""
    tail = {"paths": [f"{directory}/gateway-*"], "format": "records", "poll_interval": "20ms"}
    config = {
        "workers": 2,
        "state_dir": str(directory / "state"),
        "sources": [{"name": "log", "tail": tail}],
        "labels": {"models": ["small", "large"]},
        "commit_interval": "50ms",
        **settings,
    }
    path = directory / "config.yaml"
    path.write_text(json.dumps(config))
    return path


def ready(daemon: Daemon) -> Daemon:
    wait_until(daemon.is_ready, LIMIT_S, "all processes to be ready", every_s=0.1)
    return daemon


def check(daemon: Daemon, gateway: Gateway, directory: Path) -> None:
    """All is counted once and logged once."""
    wait_until(
        lambda: daemon.total(REQUESTS) >= gateway.requests, LIMIT_S, "all lines to be counted"
    )
    assert daemon.total(REQUESTS) == gateway.requests
    assert daemon.total("llm_gateway_tokens_total", **INPUT) == gateway.input_tokens
    found = RequestSearch(directory / "state" / "requests").export(Filter())
    logged = [request for table in found for request in table.requests()]
    assert len({request.request_id for request in logged}) == len(logged) == gateway.requests
    assert sum(request.input_tokens or 0 for request in logged) == gateway.input_tokens


def workers_of(daemon: Daemon) -> list[int]:
    """Process ids of the workers that run."""
    children = Path(f"/proc/{daemon.process.pid}/task").glob("*/children")
    return [int(pid) for child in children for pid in child.read_text().split()]


class Scraper(threading.Thread):
    """Scrapes an address again and again.

    Attributes:
        seen: all requests, as each scrape told.
    """

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._url = f"http://{address}/metrics"
        self._stopping = threading.Event()
        self.seen: list[float] = []

    def run(self) -> None:
        while not self._stopping.wait(0.1):
            try:
                with urllib.request.urlopen(self._url, timeout=10) as response:
                    values = re.findall(
                        rf"^{REQUESTS}.* (\S+)$", response.read().decode(), re.MULTILINE
                    )
                self.seen.append(sum(map(float, values)))
            except (OSError, HTTPException):
                continue  # It is being started.

    def stop(self) -> None:
        self._stopping.set()
        self.join()


@pytest.mark.fault("kill -9 of workers")
@pytest.mark.timeout(900)
def test_kills_of_any_process_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, gateway: Gateway
) -> None:
    config = configuration(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    moments = random.Random(5)
    gateway.start()
    scraper = Scraper(address)
    scraper.start()
    for _ in range(3):
        with ready(Daemon(config, address=address)) as daemon:
            time.sleep(moments.uniform(0, 0.3))  # the moment is what is drawn here
            (worker,) = workers_of(daemon)
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not daemon.is_ready(), LIMIT_S, "it to notice")
            ready(daemon)
            assert workers_of(daemon) != [worker]
            time.sleep(moments.uniform(0, 0.3))
            daemon.process.kill()
    gateway.stop()
    assert gateway.rotations >= 5
    with ready(Daemon(config, address=address)) as daemon:
        check(daemon, gateway, tmp_path)
        assert daemon.total("llm_gateway_exporter_worker_up") == 1
        assert daemon.end() == 0
    scraper.stop()
    assert scraper.seen == sorted(scraper.seen), "a step down reads as a reset"
    assert re.search(r"worker ended.*worker=1.*status=-9", daemon.log.read_text())


@pytest.mark.timeout(900)
def test_both_processes_have_a_part_and_another_number_of_them_divides_anew(
    tmp_path: Path, gateway: Gateway
) -> None:
    state = tmp_path / "state"
    created = set()
    for processes in (1, 3, 2, 1):
        for path in gateway.paths:
            gateway.write(path, 50)
        with ready(Daemon(configuration(tmp_path, workers=processes))) as daemon:
            check(daemon, gateway, tmp_path)
            assert len(workers_of(daemon)) == processes - 1
            for path in gateway.paths:
                gateway.write(path, 50)
            check(daemon, gateway, tmp_path)
            created.add(daemon.total("llm_gateway_exporter_state_created_timestamp_seconds"))
            daemon.end()
        assert len(list(state.glob("workers/*/state.db"))) == processes - 1
    parts = {path.stem.partition(".")[2] for path in state.glob("requests/*.db")}
    assert parts == {"", "worker-1", "worker-2"}
    assert len(created) == 1


@pytest.mark.timeout(900)
def test_a_reload_reaches_the_workers_and_leaves_the_counts(
    tmp_path: Path, gateway: Gateway
) -> None:
    gateway.start()
    config = configuration(tmp_path)
    with ready(Daemon(config)) as daemon:
        scraper = Scraper(daemon.address)
        scraper.start()
        reload_time = "llm_gateway_exporter_config_last_reload_success_timestamp_seconds"
        for histograms in ({}, {"request_duration": [1, 2]}, {"request_duration": [1, 2, 3]}):
            before = daemon.total(reload_time)
            configuration(tmp_path, histograms=histograms)
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.total(reload_time) > before, LIMIT_S, "the reload")  # noqa: B023
            ready(daemon)
        configuration(tmp_path, workers=3)
        daemon.process.send_signal(signal.SIGHUP)
        refused = "workers cannot change while the daemon runs"
        wait_until(lambda: refused in daemon.log.read_text(), LIMIT_S, "the refusal")
        gateway.stop()
        check(daemon, gateway, tmp_path)
        scraper.stop()
        assert scraper.seen == sorted(scraper.seen)
        bounds = set(
            re.findall(r'duration_seconds_bucket\{.*le="([^"]+)"', daemon.get("/metrics")[1])
        )
        assert {"1.0", "2.0", "3.0", "+Inf"} <= bounds


@pytest.mark.fault("worker that cannot start")
@pytest.mark.timeout(900)
def test_a_worker_that_dies_again_and_again_is_told_of_and_its_totals_stay(
    tmp_path: Path, gateway: Gateway
) -> None:
    for path in gateway.paths:
        gateway.write(path, 50)
    with ready(Daemon(configuration(tmp_path))) as daemon:
        check(daemon, gateway, tmp_path)
        records = daemon.total(RECORDS)
        for deaths in range(1, 4):
            (worker,) = wait_until(lambda: workers_of(daemon), LIMIT_S, "a worker")
            os.kill(worker, signal.SIGKILL)
            restarts = "llm_gateway_exporter_worker_restarts_total"
            wait_until(lambda: daemon.total(restarts) == deaths, LIMIT_S, "the restart")  # noqa: B023
            status, text = daemon.get("/-/ready")
            assert status == 503
            assert "worker 1: " in text
            assert daemon.total(REQUESTS) == gateway.requests
            assert daemon.total(RECORDS) == records
        pauses = re.findall(r"pause_s=([\d.]+)", daemon.log.read_text())
        assert pauses == ["0.5", "1.0", "2.0"]
        ready(daemon)
        check(daemon, gateway, tmp_path)


def test_workers_end_with_the_main_process(tmp_path: Path, gateway: Gateway) -> None:
    with ready(Daemon(configuration(tmp_path))) as daemon:
        (worker,) = workers_of(daemon)
        daemon.process.kill()
        daemon.process.wait()
        wait_until(lambda: not Path(f"/proc/{worker}/exe").exists(), LIMIT_S, "the worker's end")


@pytest.mark.timeout(900)
def test_otlp_tells_of_all_processes_once_over_restarts_and_another_number_of_them(
    tmp_path: Path, gateway: Gateway
) -> None:
    with GrpcReceiver() as receiver:
        endpoint = {
            "endpoint": receiver.url,
            "protocol": "grpc",
            "interval": "300ms",
            "temporality": "delta",
            "logs": True,
        }
        for processes in (2, 2, 1):
            config = configuration(tmp_path, workers=processes, otlp=[endpoint])
            with ready(Daemon(config)) as daemon:
                for path in gateway.paths:
                    gateway.write(path, 30)
                check(daemon, gateway, tmp_path)
                wait_until(
                    lambda: len(receiver.records()) >= gateway.requests, LIMIT_S, "all records"
                )
                assert daemon.end() == 0
        told = sum(point.as_double for point in receiver.points("llm_gateway.requests"))
        ids = {attributes(record)["log.record.uid"] for record in receiver.records()}
    assert told == gateway.requests
    assert len(ids) == len(receiver.records()) == gateway.requests
