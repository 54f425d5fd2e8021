"""A worker: an engine with its part of the files, told what to do by the main process.

It ends when its standard input does, for then the main process is gone. Signals that a terminal or
a service manager sends to all processes are for the main process, which says what they mean.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO

import structlog

from exporter import logs
from exporter.config import SourceConfig
from exporter.engine import EX_SOFTWARE, SWITCH_INTERVAL_S, Engine, Metrics, Place
from exporter.errors import ExporterError
from exporter.ledger import Change, PlacedExemplar
from exporter.sources.tail.division import AssignedShare
from exporter.store.state import StateStore
from exporter.workers.messages import (
    AllSeries,
    Assign,
    Committed,
    Configure,
    Report,
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

RELOAD_LIMIT_S = 30.0
"""The same for a reload."""

STARTING = "it is starting"


class Worker:
    """Follows orders until the last one.

    Args:
        number: among the processes, from 1.
        reports: where it tells of what it does.
    """

    def __init__(self, number: int, reports: BinaryIO) -> None:
        self._number = number
        self._reports = reports
        self._reporting = threading.Lock()
        self._store: StateStore | None = None
        self._engine: Engine | None = None
        self._has_begun = False
        self._metrics = Metrics()
        self._shares: dict[str, AssignedShare] = {}
        self._generation = 0

    def follow(self, orders: BinaryIO) -> bool:
        """Do what is ordered; whether the main process said that it is enough.

        Raises:
            ExporterError: it cannot be done.
        """
        threading.Thread(target=self._show_life, name="life", daemon=True).start()
        while (order := read_order(orders)) is not None:
            if isinstance(order, Configure):
                self._configure(order)
            elif isinstance(order, Assign):
                self._share(order.source).files = order.files
                self._begin()
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
            order.config, self._store, self._metrics, place=place, listener=self._committed
        )
        self._report(AllSeries(self._generation, self._store.batch, engine.ledger.stored()))
        self._engine, self._has_begun = engine, False
        self._begin()

    def _share(self, source: str) -> AssignedShare:
        return self._shares.setdefault(source, AssignedShare())

    def _begin(self) -> None:
        """Begin to read once it is known whose the files are that are there already."""
        if self._engine is None or self._has_begun:
            return
        sources = filter(is_shared, self._engine.config.sources)
        if all(self._share(source.name).files is not None for source in sources):
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

    def _show_life(self) -> None:
        while True:
            engine = self._engine
            problem = engine.not_ready() if engine is not None and self._has_begun else STARTING
            self._report(SignOfLife(problem, own_samples(self._metrics.registry)))
            time.sleep(SIGN_OF_LIFE_S)

    def stop(self) -> None:
        """Commit what was read, if that can be done in time; if not, it is read again."""
        if self._engine is not None and self._has_begun and not self._engine.stop(STOP_LIMIT_S):
            os._exit(0)
        if self._store is not None:
            self._store.close()


def is_shared(source: SourceConfig) -> bool:
    """Whether workers have a part in a source."""
    return source.tail is not None


def main() -> None:
    """The argument is the worker's number."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What anything prints must not come between the reports.
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker(int(sys.argv[1]), reports)
    try:
        is_asked_to = worker.follow(sys.stdin.buffer)
    except ExporterError as error:
        log.error("worker cannot go on", error=str(error))
        os._exit(EX_SOFTWARE)
    if is_asked_to:
        worker.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
