"""Who reads meanwhile: scrapes, searches, exports; and who reloads."""

import http.client
import itertools
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self
from urllib.parse import urlencode

from benchmarks.soak.sent import MODELS
from tests.daemon import Daemon

SCRAPE_EVERY_S, SEARCH_EVERY_S, EXPORT_EVERY_S, RELOAD_EVERY_S = 1.0, 2.0, 10.0, 60.0
_SEARCHED_S = 600
"""So that from the end of the warm-up on, searches are asked the same: who searches ever more holds
ever more, and that is no leak."""

_EXPORTED_S = 15
_ANSWER_LIMIT_S = 120.0
_ACCEPTED = ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0")
_REQUESTS = re.compile(r"^llm_gateway_requests_total\{[^}]*\} ([\d.e+]+)", re.MULTILINE)


class Readers:
    """Read in threads until the end of the context.

    Attributes:
        durations: seconds of each answer, by kind of reader.
        failures: what readers did not get, or not as it has to be.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(4)
        self._counted = 0.0
        self.durations: dict[str, list[float]] = {}
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        readers: Mapping[str, tuple[float, Callable[[int], None]]] = {
            "scrape": (SCRAPE_EVERY_S, self._scrape),
            "search": (SEARCH_EVERY_S, self._search),
            "export": (EXPORT_EVERY_S, self._export),
            "reload": (RELOAD_EVERY_S, self._reload),
        }
        for name, (every_s, read) in readers.items():
            self._threads.submit(self._again, name, every_s, read)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._threads.shutdown()

    def _again(self, name: str, every_s: float, read: Callable[[int], None]) -> None:
        durations = self.durations.setdefault(name, [])
        for number in itertools.count():
            if self._stopping.wait(every_s):
                return
            began = time.perf_counter()
            try:
                read(number)
            except Exception as error:
                self.failures.append(f"{name}: {error!r}")
            durations.append(time.perf_counter() - began)

    def _get(self, path: str, accept: str = "*/*") -> bytes:
        connection = http.client.HTTPConnection(self._daemon.address, timeout=_ANSWER_LIMIT_S)
        try:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{path}: {answer.status} {body[:300]!r}"
        return body

    def _scrape(self, number: int) -> None:
        """Both expositions; no count may ever be taken back."""
        for accept in _ACCEPTED:
            text = self._get("/metrics", accept).decode()
            counted = sum(map(float, _REQUESTS.findall(text)))
            assert counted >= self._counted, f"{counted} after {self._counted} requests"
            self._counted = counted

    def _search(self, number: int) -> None:
        since = {"from": int((time.time() - _SEARCHED_S) * 1000)}
        model = MODELS[number % len(MODELS)]
        searches: Sequence[tuple[str, Mapping[str, str | int]]] = (
            ("/api/v1/requests?", since),
            ("/api/v1/requests?", {**since, "status": "5xx", "model": model, "limit": 500}),
            ("/api/v1/requests?", {**since, "min_latency_ms": 20_000}),
            ("/api/v1/requests?", {"id": f"tail-{number * 100:09}"}),
            ("/api/v1/models?", since),
            ("/requests?", {}),
        )
        path, parameters = searches[number % len(searches)]
        self._get(path + urlencode(parameters))

    def _export(self, number: int) -> None:
        parameters = {
            "from": int((time.time() - _EXPORTED_S) * 1000),
            "format": ("csv", "jsonl", "parquet")[number % 3],
        }
        self._get("/api/v1/requests/export?" + urlencode(parameters))

    def _reload(self, number: int) -> None:
        self._daemon.process.send_signal(signal.SIGHUP)
