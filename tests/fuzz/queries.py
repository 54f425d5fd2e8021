"""Queries of the request log: parameters, cursors, ids, as a URL brings them."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from exporter.requestlog.search import RequestSearch
from exporter.web.requests.api import RequestApi
from tests.fuzz.target import Target
from tests.requestlog.logging_requests import NOON, Logging, a_request

LIST, SHOW, MODELS = "/api/v1/requests", "/api/v1/requests/{id}", "/api/v1/models"
ROWS = 50


class _Asked:
    """The API over a log in a directory, on a loop of its own."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="fuzz-")
        directory = Path(self._directory.name)
        log = Logging(directory, attributes=("team",))
        kind = {"model": "qwen", "attributes": ("blue",)}
        hours = range(ROWS)
        log.write(*(a_request(f"id-{n}", NOON - 3600 * n, latency=1.0, **kind) for n in hours))
        log.log.close()
        search = RequestSearch(directory)
        api = RequestApi(lambda: search)
        self._handlers: dict[str, Any] = {route.path: route.handler for route in api.routes()}
        self._loop = asyncio.Runner()

    def get(self, path: str, query: str = "", id_: str = "") -> web.Response:
        request = make_mocked_request("GET", f"{path}?{query}", match_info={"id": id_})
        answer: object = self._loop.run(self._handlers[path](request))
        assert isinstance(answer, web.Response)
        return answer


_asked = cache(_Asked)


def _feed(data: bytes) -> None:
    """What is wrong gets a 4xx; a page has as many requests as it may."""
    query = quote(data, safe="=&%+;.:")
    for path in (LIST, MODELS):
        answer = _asked().get(path, query)
        assert answer.status in (200, 400, 410), answer.status
    shown = _asked().get(SHOW, id_=data.decode("utf-8", "surrogateescape"))
    assert shown.status in (200, 404)


def _seeds() -> Sequence[bytes]:
    first = json.loads(str(_asked().get(LIST, "limit=10").text))
    cursor = first["next"]
    parameters = [
        {"from": "2026-11-20T00:00:00.5Z", "to": "1795521600000", "status": "5xx", "limit": "5"},
        {"model": "qwen", "attribute.team": "blue", "min_latency_ms": "0.5", "streamed": "true"},
        {"id": "id-7"},
        {"search": "q", "limit": "3"},
        {"cursor": cursor, "limit": "10"},
        {"cursor": cursor, "provider": "openai", "error_type": "timeout"},
    ]
    return [
        b"id-7",
        first["items"][0]["key"].encode(),
        *(urlencode(p).encode() for p in parameters),
    ]


TARGETS = (Target("queries of the request log", _feed, _seeds),)
