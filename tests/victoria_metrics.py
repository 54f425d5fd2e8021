"""A real VictoriaMetrics server for one test: it scrapes, and takes OTLP."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.waiting import free_port, wait_until

FLAGS = (
    "-opentelemetry.usePrometheusNaming",
    "-search.latencyOffset=0s",
    "-inmemoryDataFlushInterval=1s",
    "-search.disableCache",
    "-memory.allowedBytes=128MiB",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A series' last value."""

    labels: Mapping[str, str]
    value: float


class VictoriaMetrics:
    """A process on a free port; a context manager that ends it.

    Attributes:
        url: where it answers; OTLP goes to `url` + /opentelemetry.
    """

    def __init__(self, program: Path, directory: Path, scrape_config: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config_file = directory / "scrape.yml"
        config_file.write_text(scrape_config)
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self.log = directory / "victoria-metrics.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"-httpListenAddr={address}",
                    f"-storageDataPath={directory / 'data'}",
                    f"-promscrape.config={config_file}",
                    *FLAGS,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._ready, limit_s=30, what="VictoriaMetrics to become ready")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._process.wait()

    def query(self, expression: str) -> list[Sample]:
        """The instant vector that an expression gives now."""
        parameters = urllib.parse.urlencode({"query": expression, "nocache": "1"})
        answer = self._get(f"/api/v1/query?{parameters}")
        return [
            Sample(series["metric"], float(series["value"][1]))
            for series in answer["data"]["result"]
        ]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.load(response)

    def _ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"VictoriaMetrics ended at its start:\n{self.log.read_text()}")
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False
