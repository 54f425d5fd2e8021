"""Rows and counts stay equal when commits fail, between the one and the other too."""

import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from exporter.config import load_config
from exporter.engine import Engine, Metrics
from exporter.requestlog.filter import Filter
from exporter.requestlog.search import RequestSearch
from exporter.store.state import StateStore
from exporter.vocabulary import REQUESTS, TOKENS


class Running:
    """A daemon's engine without its thread, over a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "requests.jsonl"
        config = directory / "config.yaml"
        tail = {"paths": [str(self.log)], "format": "records"}
        config.write_text(
            json.dumps(
                {
                    "state_dir": str(directory / "state"),
                    "sources": [{"name": "log", "tail": tail}],
                    "labels": {"models": ["qwen"]},
                }
            )
        )
        self.config = load_config(config)
        self.written = 0
        self.start()

    def start(self) -> None:
        """As after a kill: what the engine before had not committed is gone."""
        self.store = StateStore(self.config.state_dir)
        self.engine = Engine(self.config, self.store, Metrics())

    def write(self, requests: int) -> None:
        with self.log.open("a") as log:
            for number in range(self.written, self.written + requests):
                request = {
                    "request_id": f"id-{number}", "model": "qwen", "status_code": 200,
                    "start_time": time.time(), "latency_s": 1, "input_tokens": number + 1,
                    "output_tokens": 0,
                }  # fmt: skip
                log.write(json.dumps(request) + "\n")
        self.written += requests

    def step(self) -> None:
        while self.engine.pipeline.step():
            pass

    def check(self) -> None:
        """All that was written is counted once and logged once, and the sums agree."""
        search = RequestSearch(self.config.request_log_dir, lambda _: self.store.batch)
        rows = [r for table in search.export(Filter()) for r in table.requests()]
        assert sorted(r.request_id or "" for r in rows) == sorted(
            f"id-{number}" for number in range(self.written)
        )
        assert self.engine.ledger[REQUESTS].values.sum() == self.written
        assert self.engine.ledger[TOKENS].values.sum() == sum(r.input_tokens or 0 for r in rows)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    running = Running(tmp_path)
    running.write(3000)
    running.step()
    running.check()
    yield running
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    running.store.close()


def test_a_full_disk_delays_rows_and_counts_and_loses_neither(running: Running) -> None:
    running.write(5000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    files = (path for path in (running.directory / "state").rglob("*") if path.is_file())
    largest = max(path.stat().st_size for path in files)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    for _ in range(3):
        with pytest.raises(OSError, match="request log"):
            running.step()
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    running.step()
    running.check()


def failing_state(running: Running) -> apsw.Connection:
    """Somebody else holds the state's file, so that its commit fails after that of the rows."""
    other = apsw.Connection(str(running.directory / "state" / "state.db"))
    other.execute("begin immediate")
    running.write(1000)
    with pytest.raises(OSError, match=r"state\.db"):
        running.step()
    return other


def test_rows_whose_counts_could_not_be_committed_are_not_added_again(running: Running) -> None:
    other = failing_state(running)
    with pytest.raises(OSError, match=r"state\.db"):
        running.step()
    other.close()
    running.step()
    running.check()


def test_rows_whose_counts_were_never_committed_are_taken_back(running: Running) -> None:
    failing_state(running).close()
    running.store.close()
    running.start()
    running.step()
    running.check()
    running.write(10)
    running.step()
    running.check()


def test_a_reload_after_a_failed_commit_logs_nothing_twice(running: Running) -> None:
    other = failing_state(running)
    running.engine.pipeline.stop()
    other.close()
    running.engine = Engine(running.config, running.store, Metrics())
    running.step()
    running.check()
