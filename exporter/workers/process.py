"""A worker: an engine with its part of the files, and proxies at the main process's sockets.

It does what the main process orders.

It ends when its standard input does, for then the main process is gone. Signals that a terminal or
a service manager sends to all processes are for the main process, which says what they mean.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

import structlog
import uvloop

from exporter import logs
from exporter.allocator import tune_allocator
from exporter.config import SourceConfig
from exporter.engine import (
    EX_SOFTWARE,
    RELOAD_LIMIT_S,
    SWITCH_INTERVAL_S,
    Engine,
    Metrics,
    Place,
)
from exporter.errors import ExporterError
from exporter.garbage import collect, search_rarely
from exporter.ledger import Change, PlacedExemplar
from exporter.sources.inbox import Inboxes
from exporter.sources.proxy.fleet import Proxies
from exporter.sources.proxy.tasks import MOST_TASKS, TaskNews
from exporter.sources.tail import Descriptors
from exporter.sources.tail.division import AssignedShare
from exporter.store.state import StateStore
from exporter.workers.handover import taken_over
from exporter.workers.messages import (
    AllSeries,
    Assign,
    Committed,
    Configure,
    Drained,
    Report,
    Serve,
    SignOfLife,
    changed,
    framed,
    read_order,
    shown,
)
from exporter.workers.own_metrics import own_samples
from exporter.workers.states import directory, part

log = structlog.get_logger(__name__)

SIGN_OF_LIFE_S = 1.0

STOP_LIMIT_S = 3.5
"""Time for the last commit; the main process waits a little longer."""

STARTING = "it is starting"


class Worker:
    """Follows orders until the last one.

    Args:
        number: among the processes, from 1.
        reports: where it tells of what it does.
        handover: where it is given listening sockets.
    """

    def __init__(self, number: int, reports: BinaryIO, handover: socket.socket) -> None:
        self._number = number
        self._reports = reports
        self._reporting = threading.RLock()
        self._store: StateStore | None = None
        self._engine: Engine | None = None
        self._has_begun = self._serves = False
        self._metrics = Metrics()
        self._inboxes = Inboxes()
        self._descriptors = Descriptors()
        self._tasks: deque[TaskNews] = deque(maxlen=MOST_TASKS)
        self._proxies = Proxies(
            self._inboxes, self._metrics.proxy, lambda _: taken_over(handover), self._tasks.append
        )
        self._shares: dict[str, AssignedShare] = {}
        self._generation = 0

    async def follow(self, orders: BinaryIO) -> bool:
        """Do what is ordered; whether the main process said that it is enough.

        Raises:
            ExporterError: it cannot be done.
        """
        threading.Thread(target=self._live, name="life", daemon=True).start()
        while (order := await asyncio.to_thread(read_order, orders)) is not None:
            if isinstance(order, Configure):
                await asyncio.to_thread(self._configure, order)
            elif isinstance(order, Assign):
                self._share(order.source).files = order.files
                self._begin()
            elif isinstance(order, Serve):
                self._proxies.follow(order.proxies)
                self._serves = True
            else:
                return True
        return False

    def _configure(self, order: Configure) -> None:
        """Put an engine with this configuration in the place of the one before."""
        logs.configure(order.log_level, order.log_format, worker=self._number)
        if self._engine is not None and self._has_begun and not self._engine.stop(RELOAD_LIMIT_S):
            raise ExporterError("what was read cannot be committed now")
        if self._store is None:
            self._store = StateStore(directory(order.config.state_dir, self._number))
        self._generation = order.generation
        place = Place(
            has=is_shared,
            share=self._share,
            part=part(self._number),
            deletes=lambda name: name == part(self._number),
        )
        engine = Engine(
            order.config,
            self._store,
            self._metrics,
            self._inboxes,
            place=place,
            descriptors=self._descriptors,
            listener=self._committed,
        )
        self._report(AllSeries(self._generation, self._store.batch, engine.ledger.stored()))
        self._engine, self._has_begun = engine, False
        self._begin()
        collect()

    def _share(self, source: str) -> AssignedShare:
        return self._shares.setdefault(source, AssignedShare())

    def _begin(self) -> None:
        """Begin to read once it is known whose the files are that are there already."""
        if self._engine is None or self._has_begun:
            return
        tails = (source.name for source in self._engine.config.sources if source.tail)
        if all(self._share(name).files is not None for name in tails):
            self._has_begun = True
            self._engine.start()

    def _committed(self, changes: Sequence[Change], exemplars: Sequence[PlacedExemplar]) -> None:
        if self._store is not None:
            told = Committed(
                self._generation, self._store.batch, changed(changes), shown(exemplars)
            )
            self._report(told)

    def _report(self, report: Report) -> None:
        data = framed(report)
        with self._reporting:
            try:
                self._reports.write(data)
                self._reports.flush()
            except OSError:
                os._exit(EX_SOFTWARE)  # The main process is gone.

    def _live(self) -> None:
        while True:
            self._show_life()
            time.sleep(SIGN_OF_LIFE_S)

    def _show_life(self) -> None:
        with self._reporting:
            engine = self._engine
            has_started = engine is not None and self._has_begun and self._serves
            self._report(
                SignOfLife(
                    engine.not_ready() if engine is not None and has_started else STARTING,
                    own_samples(self._metrics.registry),
                    self._metrics.proxy.gauges.remaining,
                    [self._tasks.popleft() for _ in range(len(self._tasks))],
                )
            )

    async def drain(self) -> None:
        """Let requests under way end."""
        await self._proxies.stop()
        self._show_life()
        self._report(Drained())

    def stop(self) -> None:
        """Commit what was read, if that can be done in time; if not, it is read again."""
        if self._engine is not None and self._has_begun and not self._engine.stop(STOP_LIMIT_S):
            os._exit(0)
        self._descriptors.close()
        if self._store is not None:
            self._store.close()


def is_shared(source: SourceConfig) -> bool:
    """Whether workers have a part in a source."""
    return source.tail is not None or source.proxy is not None


async def _work(worker: Worker) -> bool:
    """Follow orders; whether the main process said that it is enough, and no request is left."""
    is_asked_to = await worker.follow(sys.stdin.buffer)
    if is_asked_to:
        await worker.drain()
    return is_asked_to


def main() -> None:
    """The arguments are the worker's number, and the descriptor that sockets are handed over by."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    tune_allocator()
    search_rarely()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What anything prints must not come between the reports.
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker(int(sys.argv[1]), reports, socket.socket(fileno=int(sys.argv[2])))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_asked_to = runner.run(_work(worker))
    except ExporterError as error:
        log.error("worker cannot go on", error=str(error))
        os._exit(EX_SOFTWARE)
    if is_asked_to:
        worker.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
