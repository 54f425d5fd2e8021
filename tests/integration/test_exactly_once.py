"""A writer that never waits, a daemon killed again and again, rotations between: counted once."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartPrometheus
from tests.daemon import Daemon
from tests.gateway import Gateway, by_number
from tests.prometheus import scrape_config
from tests.setup import REQUESTS, counted_and_logged_once
from tests.waiting import free_port, wait_until

KILLS = 50


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path, by_number, rotate_at_bytes=60_000)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.mark.fault("kill -9 of the daemon")
@pytest.mark.timeout(300)
def test_fifty_kills_at_random_moments_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, gateway: Gateway, start_prometheus: StartPrometheus
) -> None:
    config = tmp_path / "config.yaml"
    tail = {"paths": [f"{tmp_path}/gateway-0.jsonl*"], "format": "records", "poll_interval": "10ms"}
    config.write_text(
        json.dumps(
            {
                "state_dir": str(tmp_path / "state"),
                "sources": [{"name": "log", "tail": tail}],
                "labels": {"models": ["small", "large"]},
                "commit_interval": "50ms",
            }
        )
    )
    address = f"127.0.0.1:{free_port()}"
    prometheus = start_prometheus(scrape_config(address, interval="100ms"))
    began = time.time()
    moments = random.Random(5)
    for _ in range(KILLS):
        with Daemon(config, address=address).wait_ready() as daemon:
            time.sleep(moments.uniform(0, 0.3))  # the moment is what is drawn here
            daemon.process.kill()
    gateway.stop()
    assert gateway.rotations >= 3

    with Daemon(config, address=address).wait_ready() as daemon:
        counted_and_logged_once(daemon, gateway, tmp_path / "state")
        wait_until(
            lambda: prometheus.value(f"sum({REQUESTS})") == gateway.requests,
            20,
            "the truth in Prometheus",
        )
    for series in prometheus.query_range(REQUESTS, began, time.time(), step_s=0.1):
        values = [sample.value for sample in series]
        assert values == sorted(values), "a step down reads as a reset, and counts everything twice"
