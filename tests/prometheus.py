"""A real Prometheus server, as Debian packages it, for one test."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server import Server


@dataclass(frozen=True, slots=True)
class Sample:
    """A series' value at a time, in epoch seconds."""

    labels: Mapping[str, str]
    value: float
    time: float


class QueryError(Exception):
    """Prometheus refused an expression; the message is its own."""


def scrape_config(*targets: str, interval: str = "200ms") -> str:
    """A whole prometheus.yml that scrapes /metrics of each `host:port`, as job `exporter`."""
    return json.dumps(
        {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [
                {"job_name": "exporter", "static_configs": [{"targets": list(targets)}]}
            ],
        }
    )


class Prometheus(Server):
    """A Prometheus process on a free port.

    It takes up its targets five seconds after its start, whatever the scrape interval.
    """

    def __init__(
        self, program: Path, directory: Path, config: str, flags: Sequence[str] = ()
    ) -> None:
        """Start on the text of a prometheus.yml; data, configuration and log go to `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        config_file = directory / "prometheus.yml"
        config_file.write_text(config)
        super().__init__(
            "Prometheus",
            directory,
            lambda address: [
                program,
                f"--config.file={config_file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
                *flags,
            ],
        )

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The instant vector (or scalar) that an expression gives now, or `at` an epoch second.

        Raises:
            QueryError: Prometheus refused the expression.
        """
        asked = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        answer = self._ask("query", asked)
        if answer["resultType"] == "scalar":
            time, value = answer["result"]
            return [Sample({}, float(value), time)]
        return [
            Sample(series["metric"], float(series["value"][1]), series["value"][0])
            for series in answer["result"]
        ]

    def value(self, expression: str, at: float | None = None) -> float | None:
        """The one value of an expression; None when it has no sample.

        Raises:
            QueryError: Prometheus refused the expression.
            ValueError: the expression has several samples.
        """
        samples = self.query(expression, at)
        if len(samples) > 1:
            raise ValueError(f"{expression} has {len(samples)} samples, not one")
        return samples[0].value if samples else None

    def query_range(
        self, expression: str, start: float, end: float, step_s: float
    ) -> list[list[Sample]]:
        """A list for each series: its samples from `start` to `end` (epoch seconds), oldest first.

        Raises:
            QueryError: Prometheus refused the expression.
        """
        answer = self._ask(
            "query_range",
            {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": step_s},
        )
        return [
            [Sample(series["metric"], float(value), time) for time, value in series["values"]]
            for series in answer["result"]
        ]

    def get(self, path: str) -> Any:
        """The `data` of any other GET of its HTTP API: `get("targets?state=active")`.

        Raises:
            QueryError: Prometheus refused the request.
        """
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(json.load(error)["error"]) from None

    def _ask(self, path: str, parameters: Mapping[str, object]) -> Any:
        return self.get(f"{path}?{urllib.parse.urlencode(parameters)}")
