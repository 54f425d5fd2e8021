"""A writer that never waits, a daemon killed again and again, rotations between: counted once."""

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.requestlog.filter import Filter
from exporter.requestlog.search import RequestSearch
from tests.conftest import StartPrometheus
from tests.daemon import Daemon
from tests.prometheus import scrape_config
from tests.waiting import free_port, wait_until

KILLS = 50
ROTATE_AT_BYTES = 60_000
FILES_KEPT = 20  # A file must not be gone before a daemon that was down could read it.


class Writer(threading.Thread):
    """Appends requests, also half lines that are finished later, and rotates by rename and by copy.

    Attributes:
        requests, input_tokens: what was written in whole lines.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._stopping = threading.Event()
        self._random = random.Random(11)
        self.requests = 0
        self.input_tokens = 0
        self.rotations = 0

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        file = self._open()
        while not self._stopping.wait(self._random.uniform(0, 0.03)):
            for _ in range(self._random.randrange(1, 12)):
                line = self._line()
                cut = self._random.randrange(len(line))
                os.write(file, line[:cut])
                os.write(file, line[cut:])
                self.requests += 1
            if os.fstat(file).st_size > ROTATE_AT_BYTES:
                os.close(file)
                self._rotate()
                file = self._open()
        os.close(file)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _rotate(self) -> None:
        self.rotations += 1
        for number in range(FILES_KEPT, 0, -1):
            old = Path(f"{self._path}.{number}")
            if old.exists():
                old.rename(f"{self._path}.{number + 1}")
        self._path.rename(f"{self._path}.1")
        Path(f"{self._path}.{FILES_KEPT + 1}").unlink(missing_ok=True)

    def _line(self) -> bytes:
        tokens = self._random.randrange(1, 1000)
        self.input_tokens += tokens
        request = {
            "request_id": f"{self.requests:08}",
            "model": self._random.choice(["small", "large"]),
            "status_code": self._random.choice([200, 200, 200, 429]),
            "start_time": time.time(),
            "latency_s": self._random.random(),
            "input_tokens": tokens,
            "output_tokens": 1,
        }
        return json.dumps(request).encode() + b"\n"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "requests.jsonl")
    writer.start()
    yield writer
    writer.stop()


@pytest.mark.fault("kill -9 of the daemon")
@pytest.mark.timeout(300)
def test_fifty_kills_at_random_moments_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, writer: Writer, start_prometheus: StartPrometheus
) -> None:
    config = tmp_path / "config.yaml"
    tail = {"paths": [f"{tmp_path}/requests.jsonl*"], "format": "records", "poll_interval": "10ms"}
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
    writer.stop()
    assert writer.rotations >= 3

    with Daemon(config, address=address).wait_ready() as daemon:
        requests = "llm_gateway_requests_total"
        wait_until(lambda: daemon.total(requests) >= writer.requests, 20, "all lines to be counted")
        assert daemon.total(requests) == writer.requests
        input_tokens = daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input")
        assert input_tokens == writer.input_tokens
        wait_until(
            lambda: prometheus.value(f"sum({requests})") == writer.requests,
            20,
            "the truth in Prometheus",
        )
    logged = [
        request
        for table in RequestSearch(tmp_path / "state" / "requests").export(Filter())
        for request in table.requests()
    ]
    assert len({request.request_id for request in logged}) == len(logged) == writer.requests
    assert sum(request.input_tokens or 0 for request in logged) == writer.input_tokens
    for series in prometheus.query_range(requests, began, time.time(), step_s=0.1):
        values = [sample.value for sample in series]
        assert values == sorted(values), "a step down reads as a reset, and counts everything twice"
