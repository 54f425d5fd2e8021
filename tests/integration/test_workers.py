"""Several processes that share the files: one exposition, one request log, each request once."""

import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.export.otlp.receiver import GrpcReceiver, attributes
from tests.gateway import Gateway, to_odd_names
from tests.scraper import Scraper
from tests.setup import REQUESTS, counted_and_logged_once
from tests.waiting import free_port, wait_until

RECORDS = "llm_gateway_exporter_records_total"
LIMIT_S = 120
"""Two processes start on two cores, which the machine may have better use for."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path, to_odd_names, logs=5)
    yield gateway
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


def check(daemon: Daemon, gateway: Gateway, directory: Path) -> None:
    """All is counted once and logged once."""
    counted_and_logged_once(daemon, gateway, directory / "state", LIMIT_S)


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
        with Daemon(config, address=address).wait_ready(LIMIT_S) as daemon:
            time.sleep(moments.uniform(0, 0.3))  # the moment is what is drawn here
            (worker,) = daemon.children()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not daemon.is_ready(), LIMIT_S, "it to notice")
            daemon.wait_ready(LIMIT_S)
            assert daemon.children() != [worker]
            time.sleep(moments.uniform(0, 0.3))
            daemon.process.kill()
    gateway.stop()
    assert gateway.rotations >= 5
    with Daemon(config, address=address).wait_ready(LIMIT_S) as daemon:
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
        with Daemon(configuration(tmp_path, workers=processes)).wait_ready(LIMIT_S) as daemon:
            check(daemon, gateway, tmp_path)
            assert len(daemon.children()) == processes - 1
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
    with Daemon(config).wait_ready(LIMIT_S) as daemon:
        scraper = Scraper(daemon.address)
        scraper.start()
        reload_time = "llm_gateway_exporter_config_last_reload_success_timestamp_seconds"
        for histograms in ({}, {"request_duration": [1, 2]}, {"request_duration": [1, 2, 3]}):
            before = daemon.total(reload_time)
            configuration(tmp_path, histograms=histograms)
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.total(reload_time) > before, LIMIT_S, "the reload")  # noqa: B023
            daemon.wait_ready(LIMIT_S)
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
    with Daemon(configuration(tmp_path)).wait_ready(LIMIT_S) as daemon:
        check(daemon, gateway, tmp_path)
        records = daemon.total(RECORDS)
        for deaths in range(1, 4):
            (worker,) = wait_until(daemon.children, LIMIT_S, "a worker")
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
        daemon.wait_ready(LIMIT_S)
        check(daemon, gateway, tmp_path)


def test_workers_end_with_the_main_process(tmp_path: Path, gateway: Gateway) -> None:
    with Daemon(configuration(tmp_path)).wait_ready(LIMIT_S) as daemon:
        (worker,) = daemon.children()
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
            with Daemon(config).wait_ready(LIMIT_S) as daemon:
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
