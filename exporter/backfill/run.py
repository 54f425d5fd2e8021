"""A backfill from its beginning, or from where it was interrupted, to its end."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw
import numpy as np
from prometheus_client import CollectorRegistry

from exporter import config as c
from exporter.accounting import Accountant
from exporter.backfill.history import History
from exporter.backfill.logged import LoggedRequests
from exporter.backfill.reading import BackfillError, OldLogs, Piece, Position, Report
from exporter.engine import labelling, price_list, request_log
from exporter.formats import resolve
from exporter.formats.compile import Decoder
from exporter.ledger import Ledger
from exporter.pipeline import MOST_KINDS
from exporter.record import Kinds
from exporter.requestlog.files import BACKFILL
from exporter.requestlog.log import RequestLogMetrics
from exporter.store.state import StateStore
from exporter.tally import Tally
from exporter.vocabulary import IDENTITY, instruments

STEP_S = 60.0
"""Between two samples of a series that changes."""

_POSITIONS, _HISTORY = "files", "history"
_DIRECTORY, _WRITTEN, _REACHED = "directory", "written", "reached"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done.

    Attributes:
        source: name of the source that the files are of.
        tail: its configuration, which names their format.
        metrics: directory of the OpenMetrics files.
        until: Unix seconds; requests that ended from then on are left out.
    """

    source: str
    tail: c.TailConfig
    paths: Sequence[Path]
    metrics: Path
    until: float


def run(config: c.Config, task: Task, read_bytes: Callable[[int], None] = lambda _: None) -> Report:
    """Read the files; all of it is done when this returns, and nothing twice.

    Raises:
        BackfillError: a file cannot be read, or the results not be written; run it again to go on.
        StateError: another backfill is running, or its state cannot be used.
    """
    store = StateStore(config.state_dir / BACKFILL)
    try:
        return _Backfill(config, task, store, read_bytes).run()
    except (apsw.Error, OSError) as error:
        raise BackfillError(f"interrupted; run it again to go on: {error}") from error
    finally:
        store.close()


class _Backfill:
    def __init__(
        self, config: c.Config, task: Task, store: StateStore, read_bytes: Callable[[int], None]
    ) -> None:
        self._store = store
        metrics = task.metrics.resolve()
        self._begun = (
            f"{config.state_dir / BACKFILL}, {config.request_log_dir}/*.{BACKFILL}.db*"
            f" and {metrics}/*.om"
        )
        self._source = task.source
        attributes = config.labels.attributes
        vocabulary = instruments(config.histograms.buckets())
        self._ledger = Ledger(vocabulary, IDENTITY + attributes)
        store.forget(self._ledger.load(store.series(vocabulary)))
        self._kinds = Kinds()
        self._prices = price_list(config)
        self._accountant = Accountant(self._ledger, labelling(config.labels), self._prices)
        self._tally = Tally(vocabulary)
        self._registry = CollectorRegistry()
        log_metrics = RequestLogMetrics(self._registry)
        self._log = (
            request_log(config, self._prices, store, log_metrics, BACKFILL)
            if config.request_log.enabled
            else None
        )
        self._logged = LoggedRequests(config.request_log_dir, task.source)
        history = store.positions(_HISTORY)
        self._reached = int(history.get(_REACHED, b"-1"))
        self._history = self._history_in(metrics, history)
        self._spec = resolve(task.tail.format, config.formats)
        self._attributes, self._zone = attributes, task.tail.timezone
        known = {
            Path(path): Position(*map(int, value.split()))
            for path, value in store.positions(_POSITIONS).items()
        }
        self._positions: dict[str, bytes | None] = {}
        self._report = Report()
        self._logs = OldLogs(
            task.paths,
            self._new_decoder(),
            step_s=STEP_S,
            until=task.until,
            reached=self._reached,
            known=known,
            report=self._report,
            read_bytes=read_bytes,
        )

    def _history_in(self, directory: Path, known: Mapping[str, bytes]) -> History:
        """The history; its directory is ours before anything is written there."""
        is_ours = known.get(_DIRECTORY) == bytes(directory)
        written = known.get(_WRITTEN, b"").decode() if is_ours else None
        history = History(directory, self._ledger, STEP_S, written)
        begun = {_DIRECTORY: bytes(directory), _WRITTEN: history.position.encode()}
        self._store.rearrange((), {_HISTORY: begun})
        return history

    def _new_decoder(self) -> Decoder:
        return Decoder(self._spec, self._kinds, self._attributes, self._zone)

    def run(self) -> Report:
        """Read all; returns what was met."""
        step: int | None = None
        for piece in self._logs.pieces():
            if step is None:
                self._begin_with(piece)
            elif piece.step > step:
                self._end(step)
                self._history.pass_over(step + 1, piece.step)
            step = piece.step if step is None else max(step, piece.step)
            self._add(piece)
        if step is not None:
            self._end(step)
        self._history.close()
        if self._log is not None:
            self._log.finish()
        expired = self._registry.get_sample_value(
            "llm_gateway_exporter_request_log_rows_dropped_total", {"reason": "expired"}
        )
        self._report.expired = int(expired or 0)
        return self._report

    def _begin_with(self, piece: Piece) -> None:
        """Go on from where an earlier run has come to, if there was one.

        Raises:
            BackfillError: that is beyond the piece, whose requests can come into no sample now.
        """
        if self._reached < 0:
            return
        if piece.step > self._reached:
            self._history.pass_over(self._reached + 1, piece.step)
            return
        self._history.close()
        of, reached = (
            datetime.fromtimestamp(step * STEP_S, UTC).isoformat()
            for step in (piece.step, self._reached)
        )
        raise BackfillError(
            f"{piece.path}: has requests of {of}, but an earlier backfill has written all samples "
            f"up to {reached}; to begin anew with all files together, delete {self._begun}"
        )

    def _add(self, piece: Piece) -> None:
        batch = piece.batch.numbered_by(self._kinds)
        self._report.requests += len(batch)
        estimate = self._prices.estimate(batch)
        if self._log is not None:
            is_logged = self._logged.have(batch)
            self._report.logged += int(is_logged.sum())
            rows = np.flatnonzero(~is_logged)
            estimated = None if estimate is None else estimate[rows]
            self._log.add(self._source, batch.take(rows), estimated)
        self._tally.add(batch, estimate)
        self._positions[str(piece.path)] = b"%d %d %d" % piece.after

    def _end(self, step: int) -> None:
        """Commit a step, with what is written of its samples."""
        fold = self._accountant.fold(self._tally, self._kinds)
        changes = self._ledger.changes(fold.additions)
        self._history.add(step, changes)
        self._history.sync()
        if self._log is not None:
            self._log.commit(self._store.batch + 1)
        self._store.commit(
            changes,
            {
                _POSITIONS: self._positions,
                _HISTORY: {
                    _WRITTEN: self._history.position.encode(),
                    _REACHED: b"%d" % step,
                },
            },
        )
        self._ledger.publish(changes)
        if self._log is not None:
            self._log.committed()
        self._positions = {}
        self._tally.clear()
        if len(self._kinds) > MOST_KINDS:  # Pieces that are decoded already have its numbers.
            self._kinds = self._kinds.successor()
            self._logs.decoder = self._new_decoder()


def daemon_began(config: c.Config) -> float | None:
    """When the daemon's state began, Unix seconds; None if it never ran here.

    Raises:
        BackfillError: the state cannot be read.
    """
    path = config.state_dir / "state.db"
    if not path.exists():
        return None
    query = "select value from facts where name = 'created'"
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            ((began,),) = database.execute(query)
    except (apsw.Error, ValueError) as error:
        raise BackfillError(f"{path}: {error}; say when the daemon began with --until") from error
    return float(began)
