"""A daemon's configuration, log and state in one directory, and what must hold in the end."""

import json
from pathlib import Path
from typing import Any

from exporter.requestlog.filter import Filter
from exporter.requestlog.request import LoggedRequest
from exporter.requestlog.search import RequestSearch
from tests.daemon import Daemon
from tests.gateway import Gateway
from tests.waiting import wait_until

REQUESTS = "llm_gateway_requests_total"
TOKENS = "llm_gateway_tokens_total"


def line(model: str = "small", **fields: object) -> str:
    """A line of the format `records`."""
    request = {"model": model, "status_code": 200, "input_tokens": 3, "output_tokens": 2, **fields}
    return json.dumps(request) + "\n"


class Setup:
    """A configuration that reads one log, unless `tail` says otherwise.

    Attributes:
        tail, rest: parts of the configuration, to be changed before `write`.
    """

    def __init__(self, directory: Path) -> None:
        self.log = directory / "requests.jsonl"
        self.state = directory / "state"
        self.config_file = directory / "config.yaml"
        self.tail: dict[str, Any] = {"paths": [str(self.log)], "format": "records"}
        self.rest: dict[str, Any] = {}
        self.write()

    def write(self) -> None:
        """Write the configuration."""
        sources = [{"name": "log", "tail": {"poll_interval": "10ms", **self.tail}}]
        config = {"state_dir": str(self.state), "sources": sources, "commit_interval": "50ms"}
        self.config_file.write_text(json.dumps(config | self.rest))

    def append(self, *lines: str) -> None:
        """Write to the log."""
        with self.log.open("a") as log:
            log.writelines(lines)

    def start(self, *flags: str) -> Daemon:
        """A daemon with this configuration."""
        return Daemon(self.config_file, flags=flags)

    def logged(self) -> list[LoggedRequest]:
        """What is in the request log, which can be read while nobody can ask the daemon."""
        return all_logged(self.state)


def all_logged(state: Path) -> list[LoggedRequest]:
    """What is in the request log of a state."""
    found = RequestSearch(state / "requests").export(Filter())
    return [request for table in found for request in table.requests()]


def counts(daemon: Daemon, expected: int, limit_s: float = 10, **labels: str) -> None:
    """Wait for a number of requests, and see that it stays."""
    wait_until(
        lambda: daemon.total(REQUESTS, **labels) >= expected, limit_s, f"{expected} requests"
    )
    assert daemon.total(REQUESTS, **labels) == expected


def counted_and_logged_once(
    daemon: Daemon, gateway: Gateway, state: Path, limit_s: float = 20
) -> None:
    """All that a gateway has written is in the series and in the request log, each once."""
    counts(daemon, gateway.requests, limit_s)
    assert daemon.total(TOKENS, gen_ai_token_type="input") == gateway.input_tokens
    logged = all_logged(state)
    assert len({request.request_id for request in logged}) == len(logged) == gateway.requests
    assert sum(request.input_tokens or 0 for request in logged) == gateway.input_tokens
