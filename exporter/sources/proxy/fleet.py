"""All proxies of a configuration. They outlive engines: a reload cuts no stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from exporter.sources.inbox import MOST_RECORDS, Inboxes
from exporter.sources.proxy.config import ProxyConfig
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.server import ProxyServer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WantedProxy:
    """A proxy as a configuration has it; as long as nothing of it changes, it goes on.

    Attributes:
        attributes: names of a record's attributes, in order.
    """

    source: str
    config: ProxyConfig
    attributes: tuple[str, ...]


class Proxies:
    """Starts, replaces and ends proxies."""

    def __init__(self, inboxes: Inboxes, metrics: ProxyMetrics) -> None:
        self._inboxes = inboxes
        self._metrics = metrics
        self._running: dict[str, tuple[WantedProxy, ProxyServer]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def follow(self, wanted: Sequence[WantedProxy]) -> None:
        """Let these run, and no others; requests under way in others come to their end.

        Raises:
            ExporterError: one of them cannot; then those of before go on.
        """
        new = [self._new(each) for each in wanted if not self._is_running(each)]
        kept = {each.source for each in wanted if self._is_running(each)}
        old = [name for name in self._running if name not in kept]
        for name in old:
            await self._running[name][1].stop_listening()  # One of the new ones may listen there.
        started: list[ProxyServer] = []
        try:
            for _, server in new:
                await server.start()
                started.append(server)
        except BaseException:
            for server in started:
                await server.stop(0)
            for name in old:
                await self._running[name][1].start()
            raise
        for name in old:
            ending = asyncio.create_task(self._running.pop(name)[1].stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self._running |= {each.source: (each, server) for each, server in new}

    async def stop(self) -> None:
        """End all of them; requests under way have their time."""
        servers = [server for _, server in self._running.values()]
        self._running.clear()
        await asyncio.gather(*(server.stop() for server in servers), *self._ending)

    @property
    def addresses(self) -> dict[str, list[tuple[str, int]]]:
        """Where each source's proxy listens."""
        return {name: server.addresses for name, (_, server) in self._running.items()}

    def _is_running(self, wanted: WantedProxy) -> bool:
        running = self._running.get(wanted.source)
        return running is not None and running[0] == wanted

    def _new(self, wanted: WantedProxy) -> tuple[WantedProxy, ProxyServer]:
        inbox = self._inboxes.of(wanted.source, MOST_RECORDS)
        server = ProxyServer(wanted.source, wanted.config, wanted.attributes, inbox, self._metrics)
        return wanted, server
