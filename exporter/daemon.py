"""The process: one state, one engine at a time, the web listener, signals."""

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from exporter import logs, notify
from exporter.allocator import tune_allocator
from exporter.config import Config, load_config, unfilled_attributes
from exporter.engine import (
    EX_SOFTWARE,
    RELOAD_LIMIT_S,
    SWITCH_INTERVAL_S,
    Engine,
    Metrics,
    refuse_other_kinds,
)
from exporter.errors import ExporterError
from exporter.garbage import collect, search_rarely
from exporter.readers import Readers
from exporter.sources.inbox import Inboxes
from exporter.sources.proxy.doors import Doors, WantedProxy
from exporter.sources.proxy.fleet import Proxies
from exporter.sources.proxy.tasks import TaskBook
from exporter.sources.tail import Descriptors
from exporter.store.state import StateStore
from exporter.web.ingest import PushDoor
from exporter.web.overview import source_states
from exporter.web.pages import SourceState
from exporter.web.requests import LINK as REQUESTS_LINK
from exporter.web.requests import request_routes
from exporter.web.server import WebServer
from exporter.workers.fleet import Workers
from exporter.workers.own_metrics import OwnMetrics
from exporter.workers.states import known_workers
from exporter.workers.total import Total

log = structlog.get_logger(__name__)

STOP_LIMIT_S = 4.0
"""Time for the last commit, so that the whole stop stays within five seconds."""

DRAIN_MARGIN_S = 1.0
"""For workers to tell that no request is under way any more."""

END_MARGIN_S = 5.0
"""For what follows the last commit, beyond what it may take."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        enable_lifecycle: let `POST /-/reload` reload the configuration.
        open_metrics: let `/metrics` be read without a password.
        allowed_hosts: names that the web server may be asked by.
    """

    config_file: Path
    listen: Sequence[str]
    web_config: Path | None = None
    enable_lifecycle: bool = False
    open_metrics: bool = False
    allowed_hosts: Sequence[str] = ()
    log_level: logs.Level = "info"
    log_format: logs.Format = "logfmt"


class Daemon:
    """Runs until a signal ends it.

    Raises:
        DocumentError: the configuration has mistakes.
        StateError: the state directory cannot be used.
    """

    def __init__(self, options: Options) -> None:
        tune_allocator()
        search_rarely()
        self._options = options
        config = load_config(options.config_file)
        self._metrics = Metrics()
        self._inboxes = Inboxes()
        self._descriptors = Descriptors()
        self._store = StateStore(config.state_dir)
        try:
            refuse_other_kinds(config, self._store)
            self._workers = Workers(
                known_workers(config, self._store),
                self._metrics.workers,
                options.log_level,
                options.log_format,
                lambda sign: self._proxies.hear(sign.remaining, sign.tasks),
            )
            self._doors = Doors(self._workers.serve)
            self._proxies = Proxies(
                self._inboxes, self._metrics.proxy, self._doors.follow, TaskBook().take
            )
            self._workers.configure(config)
            self._engine = self._engine_of(config)
            self._readers = self._readers_of(self._engine)
        except BaseException:
            self._store.close()
            raise
        facts = self._store.facts
        self._metrics.process.state_created.set(facts.created)
        self._metrics.process.state_replaced.set(facts.created if facts.replaced_corrupt else 0)
        self._loaded(successfully=True)
        self._reloading = asyncio.Lock()

    def run(self) -> None:
        """Serve; returns after SIGTERM or SIGINT, with all that was read committed."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()

        def stop() -> None:
            if stopping.is_set():
                log.warning("second signal: leaving at once")
                os._exit(1)
            stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        hangup = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
        web = self._web()
        await web.start()
        try:
            self._proxies.follow(_proxies_of(self._engine.config))
        except BaseException:
            await web.stop()
            raise
        self._start()
        notify.ready()
        beside = [
            asyncio.create_task(_pat_watchdog()),
            asyncio.create_task(self._reload_at_each(hangup)),
        ]
        await stopping.wait()
        log.info("stopping")
        notify.stopping()
        faulthandler.dump_traceback_later(
            STOP_LIMIT_S + self._proxies.drain_s + DRAIN_MARGIN_S + END_MARGIN_S, exit=True
        )
        if not await self._stop():
            log.warning(
                "the last commit did not succeed in time: it is read again at the next start"
            )
            os._exit(0)
        for task in beside:
            task.cancel()
        self._descriptors.close()
        self._store.close()
        await web.stop()

    def _web(self) -> WebServer:
        web = WebServer(
            self._options.listen,
            exposition=self,
            ready=self._not_ready,
            sources=self._sources,
            reload=self.reload if self._options.enable_lifecycle else None,
            web_config=self._options.web_config,
            registry=self._metrics.registry,
            open_metrics=self._options.open_metrics,
            allowed_hosts=self._options.allowed_hosts,
        )
        door = PushDoor(
            lambda: self._engine.ingest,
            lambda: self._engine.pipeline.commit_error,
            self._metrics.ingest,
        )
        web.add_routes(door.routes(), admits=door.admits)
        web.add_routes(
            request_routes(
                lambda: self._readers.search, lambda: self._engine.config.labels.attributes
            ),
            REQUESTS_LINK,
        )
        return web

    def _start(self) -> None:
        self._workers.start()
        self._engine.start()
        self._readers.start()

    async def _stop(self) -> bool:
        """Commit what was read and tell of it; whether that was done in time."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + STOP_LIMIT_S
        try:
            # For good: a reload that is under way comes to its end, and none begins any more.
            await asyncio.wait_for(self._reloading.acquire(), STOP_LIMIT_S)
        except TimeoutError:
            return False
        left_s = deadline - clock()
        self._doors.close()
        await asyncio.gather(
            self._proxies.stop(), self._workers.drain(self._proxies.drain_s + DRAIN_MARGIN_S)
        )
        is_committed, _ = await asyncio.gather(
            asyncio.to_thread(self._engine.stop, left_s), self._workers.stop(left_s)
        )
        if is_committed:
            await asyncio.to_thread(self._readers.stop)
        return is_committed

    async def render(self, openmetrics: bool) -> bytes:
        """What a scrape gets."""
        return await self._readers.exposition.render(openmetrics=openmetrics)

    async def _reload_at_each(self, hangup: asyncio.Event) -> None:
        """Reload whenever it is set; signals that come during a reload are one."""
        while True:
            await hangup.wait()
            hangup.clear()
            try:
                await self.reload()
            except Exception:
                log.exception("the reload failed by a mistake in this program")

    async def reload(self) -> str | None:
        """Load the configuration again; what is wrong with it, None if it is in force now."""
        async with self._reloading:
            notify.reloading()
            try:
                config = await asyncio.to_thread(load_config, self._options.config_file)
                self._check(config)
                await self._replace(config)
            except ExporterError as error:
                log.error(
                    "configuration not reloaded: the one before stays in force", error=str(error)
                )
                self._loaded(successfully=False)
                return str(error)
            else:
                log.info("configuration reloaded")
                self._loaded(successfully=True)
                return None
            finally:
                notify.ready()

    def _check(self, config: Config) -> None:
        """Refuse what would be refused only once the engine of now has stopped."""
        for key in ("state_dir", "workers"):
            if getattr(config, key) != getattr(self._engine.config, key):
                raise ExporterError(f"{key} cannot change while the daemon runs: restart it")
        for source in config.sources:
            if source.ingest and source.ingest.token:
                source.ingest.token.read()

    async def _replace(self, config: Config) -> None:
        """Put proxies and an engine with the new configuration in the place of the old ones."""
        before = self._engine.config
        self._proxies.follow(_proxies_of(config))
        try:
            await self._replace_engine(config)
        except Exception:
            self._proxies.follow(_proxies_of(before))
            raise

    async def _replace_engine(self, config: Config) -> None:
        if not await asyncio.to_thread(self._engine.stop, RELOAD_LIMIT_S):
            self._engine.resume()
            raise ExporterError("what was read cannot be committed now")
        await asyncio.to_thread(self._readers.stop)
        before = self._engine.config
        try:
            await self._take_over(config)
        except Exception:
            await self._go_back(before)
            raise
        finally:
            self._engine.start()
            self._readers.start()
            collect()

    async def _go_back(self, config: Config) -> None:
        """Take the configuration of before over again, or leave: nothing would be counted."""
        try:
            await self._take_over(config)
        except Exception as error:
            log.error("the configuration before cannot be gone back to: leaving", error=str(error))
            os._exit(EX_SOFTWARE)

    async def _take_over(self, config: Config) -> None:
        await asyncio.to_thread(refuse_other_kinds, config, self._store)
        self._workers.configure(config)
        engine = await asyncio.to_thread(self._engine_of, config)
        self._readers = await asyncio.to_thread(self._readers_of, engine)
        self._engine = engine

    def _engine_of(self, config: Config) -> Engine:
        place = self._workers.place(self._store.positions)
        return Engine(
            config,
            self._store,
            self._metrics,
            self._inboxes,
            place=place,
            descriptors=self._descriptors,
        )

    def _readers_of(self, engine: Engine) -> Readers:
        """Of this process's series alone, or of the sum with the workers'."""
        own, workers = self._metrics.registry, self._workers
        return Readers(
            engine.config,
            Total(engine.ledger, workers.mirrors) if workers else engine.ledger,
            about_itself=OwnMetrics(own, workers.samples) if workers else own,
            published=self._published,
            instance_id=self._store.facts.instance_id,
            metrics=self._metrics.otlp,
        )

    def _published(self, part: str) -> int | None:
        return self._workers.published(part) if part else self._store.batch

    def _not_ready(self) -> str | None:
        return self._engine.not_ready() or self._workers.not_ready()

    def _loaded(self, *, successfully: bool) -> None:
        self._metrics.process.reload_success.set(successfully)
        if successfully:
            self._metrics.process.reload_time.set_to_current_time()
            for name, near in unfilled_attributes(self._engine.config).items():
                log.warning(
                    "no source has this attribute: its label is empty", attribute=name, near=near
                )

    def _sources(self) -> list[SourceState]:
        return source_states(
            self._engine.config.sources, self._not_ready(), self._readers.about_itself
        )


def _proxies_of(config: Config) -> list[WantedProxy]:
    return [
        WantedProxy(source.name, source.proxy, config.labels.attributes)
        for source in config.sources
        if source.proxy
    ]


async def _pat_watchdog() -> None:
    interval_s = notify.watchdog_interval_s()
    while interval_s is not None:
        notify.watchdog()
        await asyncio.sleep(interval_s)
