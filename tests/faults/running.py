"""An engine over a directory, its rows and counts compared with what was written to its log."""

import json
import time
from pathlib import Path

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
