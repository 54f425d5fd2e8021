"""All proxies of a configuration. They outlive engines: a reload cuts no stream."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from socket import socket

from exporter.sources.inbox import Inboxes
from exporter.sources.proxy.doors import WantedProxy
from exporter.sources.proxy.metrics import ProxyMetrics, Remaining
from exporter.sources.proxy.server import ProxyServer
from exporter.sources.proxy.tasks import TaskNews, Tasks, TellTask


class Proxies:
    """Starts, replaces and ends proxies.

    Args:
        open_doors: gives each proxy's listening socket, by source, to be closed by the taker;
            `Doors.follow`, where this process opens them.
        tell_task: takes what is seen of asynchronous calls.

    Attributes:
        drain_s: how long `stop` may take.
    """

    def __init__(
        self,
        inboxes: Inboxes,
        metrics: ProxyMetrics,
        open_doors: Callable[[Sequence[WantedProxy]], dict[str, socket]],
        tell_task: TellTask,
    ) -> None:
        self._inboxes = inboxes
        self._metrics = metrics
        self._open_doors = open_doors
        self._tell_task = tell_task
        self._running: dict[str, tuple[WantedProxy, ProxyServer]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.drain_s = 0.0

    def follow(self, wanted: Sequence[WantedProxy]) -> None:
        """Let these run, and no others; requests under way in others come to their end.

        Raises:
            ExporterError: one of them cannot; then those of before go on.
        """
        new = {each.source: (each, self._new(each)) for each in wanted if not self._runs(each)}
        sockets = self._open_doors(wanted)
        kept = {each.source for each in wanted} - new.keys()
        self._retire(self._running.keys() - kept)
        for source, (each, server) in new.items():
            server.start(sockets.pop(source))
            self.drain_s = max(self.drain_s, each.config.drain_timeout)
        for known in sockets.values():
            known.close()
        self._running |= new

    def hear(self, remaining: Iterable[Remaining], tasks: Iterable[TaskNews]) -> None:
        """What another process tells of its proxies, beside its series."""
        self._metrics.gauges.hear(remaining)
        for news in tasks:
            record = self._tell_task(news)
            running = self._running.get(news.source)
            attributes = running[0].attributes if running else ()
            inbox = self._inboxes.of_records(news.source, attributes)
            if record is not None and not inbox.offer(record):
                self._metrics.records_lost.labels(news.source).inc()

    async def stop(self) -> None:
        """End all of them; requests under way have their time."""
        self._retire(set(self._running))
        await asyncio.gather(*self._ending)

    def _retire(self, sources: Collection[str]) -> None:
        """Let these accept no more, and come to their end."""
        servers = [self._running.pop(source)[1] for source in sources]
        for server in servers:
            server.stop_accepting()
            ending = asyncio.create_task(server.stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _runs(self, wanted: WantedProxy) -> bool:
        running = self._running.get(wanted.source)
        return running is not None and running[0] == wanted

    def _new(self, wanted: WantedProxy) -> ProxyServer:
        return ProxyServer(
            wanted.source,
            wanted.config,
            wanted.attributes,
            self._inboxes.of_records(wanted.source, wanted.attributes),
            Tasks(wanted.source, self._tell_task),
            self._metrics,
        )
