"""The answer to a scrape: format and compression as the client asks, rendered once for many."""

import asyncio
import gzip
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import NamedTuple, Protocol

from aiohttp import web

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Exposition(Protocol):
    """Renders all series."""

    async def render(self, openmetrics: bool) -> bytes:
        """In OpenMetrics 1.0.0, or in the Prometheus text format 0.0.4."""
        ...


class Scrapes:
    """Answers scrapes; those that come while another of their kind is rendered share it."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition
        self._running: dict[tuple[bool, bool], asyncio.Task[bytes]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        openmetrics = prefers_openmetrics(",".join(request.headers.getall("Accept", ())))
        zipped = accepts_gzip(",".join(request.headers.getall("Accept-Encoding", ())))
        headers = {
            "Content-Type": OPENMETRICS if openmetrics else TEXT,
            "Vary": "Accept, Accept-Encoding",
        }
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=await self._body(openmetrics, zipped), headers=headers)

    async def _body(self, openmetrics: bool, zipped: bool) -> bytes:
        if not zipped:
            return await self._shared(
                (openmetrics, False), lambda: self._exposition.render(openmetrics)
            )
        return await self._shared((openmetrics, True), lambda: self._zipped(openmetrics))

    async def _zipped(self, openmetrics: bool) -> bytes:
        plain = await self._body(openmetrics, False)
        return await asyncio.to_thread(gzip.compress, plain, 1)

    async def _shared(
        self, kind: tuple[bool, bool], start: Callable[[], Coroutine[None, None, bytes]]
    ) -> bytes:
        task = self._running.get(kind)
        if task is None:
            task = self._running[kind] = asyncio.create_task(start())
            task.add_done_callback(lambda _: self._running.pop(kind))
        return await asyncio.shield(task)  # One client that leaves does not end it for the others.


def prefers_openmetrics(accept: str) -> bool:
    """Whether an `Accept` header asks for OpenMetrics 1.0.0 at least as much as for text 0.0.4.

    Only a client that names OpenMetrics gets it; one that accepts neither gets text.
    """
    openmetrics = 0.0
    text: dict[str, float] = {}
    for choice in _choices(accept):
        if choice.name == "application/openmetrics-text" and choice.version in ("", "1.0.0"):
            openmetrics = max(openmetrics, choice.quality)
        elif choice.name == "text/plain" and choice.version in ("", "0.0.4"):
            text["text/plain"] = max(text.get("text/plain", 0.0), choice.quality)
        elif choice.name in ("text/*", "*/*"):
            text[choice.name] = choice.quality
    # The most specific range that matches decides: RFC 9110, section 12.5.1.
    quality = next((text[name] for name in ("text/plain", "text/*", "*/*") if name in text), 0.0)
    return openmetrics > 0 and openmetrics >= quality


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` header allows gzip (RFC 9110, section 12.5.3)."""
    qualities = {choice.name: choice.quality for choice in _choices(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


class _Choice(NamedTuple):
    name: str
    version: str
    quality: float


def _choices(header: str) -> Iterator[_Choice]:
    """The alternatives of an `Accept…` header, in lower case; parameters but two are ignored."""
    for alternative in header.lower().split(","):
        name, *parameters = (part.strip() for part in alternative.split(";"))
        values = dict(_parameters(parameters))
        yield _Choice(name, values.get("version", ""), _quality(values.get("q", "1")))


def _parameters(parameters: Iterable[str]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        yield name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    """From 0 to 1; 0 for what is no number."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
