"""All workers, as the main process sees them: started, told what to do, heard, started again."""

import asyncio
import os
import pickle
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from exporter import logs
from exporter.config import Config
from exporter.engine import EX_SOFTWARE, Place, new_ledger
from exporter.sources.proxy.doors import Sockets, WantedProxy
from exporter.sources.tail.division import Assigned, Division
from exporter.sources.tail.share import Share
from exporter.workers.handover import channel, hand_over
from exporter.workers.messages import (
    LENGTH,
    AllSeries,
    Assign,
    Committed,
    Configure,
    Drained,
    Order,
    Report,
    Serve,
    SignOfLife,
    Stop,
    framed,
)
from exporter.workers.metrics import WorkerMetrics
from exporter.workers.own_metrics import WorkerSamples
from exporter.workers.states import KnownWorker, part
from exporter.workers.total import Mirror

log = structlog.get_logger(__name__)

SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
"""Between the end of a worker and its next start; it doubles while workers do not live for long."""

LONG_LIFE_S = 60.0

SILENCE_LIMIT_S = 300.0
"""A worker that gives no sign of life for so long is killed, and started again."""

READ_BYTES = 1 << 20

Hear = Callable[[SignOfLife], None]
"""Is told, on the event loop, of each sign of life."""


class Workers:
    """From `start` to `stop`; there may be none of them.

    Args:
        known: what their states hold.
        hear: is told what concerns others than their series.

    Attributes:
        samples: what each of them has told of itself.
    """

    def __init__(
        self,
        known: Sequence[KnownWorker],
        metrics: WorkerMetrics,
        log_level: logs.Level,
        log_format: logs.Format,
        hear: Hear,
    ) -> None:
        self._division = Division(len(known) + 1, self._divided)
        for one in known:
            for source, positions in one.positions.items():
                self._division.know(source, one.number, positions)
        self._workers = [_Worker(one, metrics, hear) for one in known]
        self._known_sources: set[str] = set()
        self.samples = [worker.samples for worker in self._workers]
        self._log = log_level, log_format
        self._generation = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def mirrors(self) -> list[Mirror]:
        """What each has told of its series under the configuration of now."""
        return [worker.mirror for worker in self._workers]

    def __bool__(self) -> bool:
        return bool(self._workers)

    def place(self, positions: Callable[[str], Mapping[str, bytes]]) -> Place:
        """The main process's.

        Args:
            positions: its own, by source.

        Raises:
            StateError: one can't be decoded.
        """
        if not self._workers:
            return Place()
        parts = {part(number) for number in range(1, self._division.processes)}

        def share(source: str) -> Share:
            if source not in self._known_sources:
                self._known_sources.add(source)
                self._division.know(source, 0, positions(source))
            return self._division.of(source)

        return Place(share=share, deletes=lambda name: name not in parts)

    def published(self, name: str) -> int | None:
        """The last batch of a part of the request log that may be shown, None if all may."""
        batches = {part(worker.number): worker.mirror.batch for worker in self._workers}
        return batches.get(name)

    def configure(self, config: Config) -> None:
        """Let them run with this configuration; those that do not run take it over later."""
        self._generation += 1
        order = Configure(self._generation, config, *self._log)
        for worker in self._workers:
            worker.configure(order)

    def serve(self, proxies: Sequence[WantedProxy], sockets: Sockets) -> None:
        """Let them serve these proxies too, at sockets that stay open until the next call."""
        for worker in self._workers:
            worker.serve(Serve(proxies), sockets)

    def _divided(self, source: str, files: Sequence[Assigned]) -> None:
        """From the pipeline's thread: whose each file is now."""
        loop = self._loop
        if loop is not None:
            for worker, mine in zip(self._workers, files[1:], strict=True):
                loop.call_soon_threadsafe(worker.assign, Assign(source, mine))

    def start(self) -> None:
        """Start all of them; `configure` and `serve` come first."""
        self._loop = asyncio.get_running_loop()
        for worker in self._workers:
            worker.start()

    async def drain(self, limit_s: float) -> None:
        """Order all of them to end, and wait until none has a request under way."""
        await asyncio.gather(*(worker.drain(limit_s) for worker in self._workers))

    async def stop(self, limit_s: float) -> None:
        """After `drain`: let all of them commit and end; those that cannot in time read again."""
        await asyncio.gather(*(worker.stop(limit_s) for worker in self._workers))

    def not_ready(self) -> str | None:
        """Why readers should not rely on the sum now, None if they may."""
        problems = (worker.not_ready() for worker in self._workers)
        return next((problem for problem in problems if problem is not None), None)


class _Worker:
    """One of them, over all its lives."""

    def __init__(self, known: KnownWorker, metrics: WorkerMetrics, hear: Hear) -> None:
        self.number = known.number
        self.mirror = Mirror(known.ledger, known.batch)
        self.samples = WorkerSamples()
        self._up = metrics.up.labels(str(known.number))
        self._restarts = metrics.restarts.labels(str(known.number))
        self._hear = hear
        self._configure: Configure | None = None
        self._assigned: dict[str, Assign] = {}
        self._serve: tuple[Serve, Sockets] | None = None
        self._process: Process | None = None
        self._handover: socket.socket | None = None
        self._problem: str | None = "it is starting"
        self._stopping = asyncio.Event()
        self._drained = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def drain(self, limit_s: float) -> None:
        self._stopping.set()
        self._order(Stop())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), limit_s)

    async def stop(self, limit_s: float) -> None:
        if self._task is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._task), limit_s)
            except TimeoutError:
                log.warning(
                    "worker killed: its last commit did not succeed in time", worker=self.number
                )
                self._kill()
                await self._task

    def not_ready(self) -> str | None:
        return None if self._problem is None else f"worker {self.number}: {self._problem}"

    def configure(self, order: Configure) -> None:
        self._configure = order
        self.mirror = self.mirror.refitted(new_ledger(order.config))
        self._order(order)

    def assign(self, order: Assign) -> None:
        self._assigned[order.source] = order
        self._order(order)

    def serve(self, order: Serve, sockets: Sockets) -> None:
        self._serve = order, sockets
        self._hand_over()

    def _hand_over(self) -> None:
        if self._serve is None or self._handover is None:
            return
        order, sockets = self._serve
        try:
            hand_over(self._handover, sockets)
        except OSError:
            self._kill()  # Or it is dead already; the next one is handed them when it starts.
        else:
            self._order(order)

    def _order(self, order: Order) -> None:
        """Tell it, if it runs; one that starts is told all that it missed."""
        orders = self._process.stdin if self._process is not None else None
        if orders is not None and not orders.is_closing():
            orders.write(framed(order))

    async def _run(self) -> None:
        """Live again and again; a mistake in this program ends it, for sums could be wrong."""
        try:
            await self._live_on()
        except Exception:
            log.exception("workers can't be followed: leaving, a restart goes on from the commits")
            os._exit(EX_SOFTWARE)
        self._drained.set()

    async def _live_on(self) -> None:
        pause_s = SHORTEST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._live()
            self._up.set(0)
            self.samples.ended()
            if self._stopping.is_set():
                return
            if time.monotonic() - began >= LONG_LIFE_S:
                pause_s = SHORTEST_PAUSE_S
            self._problem = "it has ended, and is started again"
            self._restarts.inc()
            log.error(
                "worker ended: it is started again, and goes on from its last commit",
                worker=self.number,
                status=status,
                pause_s=pause_s,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _live(self) -> int | str:
        """One life; its exit status, or why there was none."""
        mine, theirs = channel()
        with mine:
            try:
                with theirs:
                    process = await self._born(theirs.fileno())
            except OSError as error:
                return str(error)
            self._process, self._handover = process, mine
            self._up.set(1)
            for order in (self._configure, *self._assigned.values()):
                if order is not None:
                    self._order(order)
            self._hand_over()
            if self._stopping.is_set():
                self._order(Stop())
            try:
                await self._listen(process)
            except TimeoutError:
                log.error("worker gives no sign of life: it is killed", worker=self.number)
                self._kill()
            self._process = self._handover = None
        return await process.wait()

    async def _born(self, handover: int) -> Process:
        """A process that has inherited its end of the channel.

        Raises:
            OSError: there is none.
        """
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exporter.workers.process", str(self.number), str(handover)),
            stdin=PIPE,
            stdout=PIPE,
            limit=READ_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=(handover,),
        )

    async def _listen(self, process: Process) -> None:
        """Take its reports, until there are no more."""
        reports = process.stdout
        with suppress(asyncio.IncompleteReadError):
            while reports is not None:
                async with asyncio.timeout(SILENCE_LIMIT_S):
                    (size,) = LENGTH.unpack(await reports.readexactly(LENGTH.size))
                    data = await reports.readexactly(size)
                report = await asyncio.to_thread(self._take, data)
                if isinstance(report, SignOfLife):
                    self._hear(report)
                elif isinstance(report, Drained):
                    self._drained.set()

    def _take(self, data: bytes) -> Report:
        report: Report = pickle.loads(data)  # noqa: S301 - by this program
        if isinstance(report, Committed):
            self.mirror.add(report)
        elif isinstance(report, AllSeries):
            self._begun(report)
        elif isinstance(report, SignOfLife):
            self._problem = report.problem
            self.samples.tell(report.metrics)
        return report

    def _begun(self, report: AllSeries) -> None:
        if report.batch < self.mirror.batch:
            log.error("a worker has lost its state: leaving, a restart sees to it")
            os._exit(EX_SOFTWARE)
        configured = self._configure
        if configured is not None and configured.generation == report.generation:
            self.mirror.begin(report, new_ledger(configured.config))

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
