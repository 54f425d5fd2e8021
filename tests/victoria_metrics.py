"""A real VictoriaMetrics server for one test: it scrapes, and takes OTLP."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server import Server

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


class VictoriaMetrics(Server):
    """A process on a free port; OTLP goes to its `url` + /opentelemetry."""

    def __init__(self, program: Path, directory: Path, scrape_config: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config_file = directory / "scrape.yml"
        config_file.write_text(scrape_config)
        super().__init__(
            "VictoriaMetrics",
            directory,
            lambda address: [
                program,
                f"-httpListenAddr={address}",
                f"-storageDataPath={directory / 'data'}",
                f"-promscrape.config={config_file}",
                *FLAGS,
            ],
            ready_path="/health",
        )

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
