"""From sources to series: read, decode, sum; commit; publish.

One thread does all of it, so that nothing holds the event loop and nothing needs a lock but the ledger.
A step reads what is there, up to a bound, makes it durable together with the positions it was read up to,
and only then lets readers see it. What could not be committed is kept and tried again before anything
more is read: it is neither lost nor counted twice.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from exporter.accounting import Accountant, Fold
from exporter.formats.compile import Decoder
from exporter.ledger import Change, Ledger
from exporter.prices import Prices
from exporter.record import Kinds
from exporter.selfmetrics import PipelineMetrics
from exporter.sources import Source
from exporter.store.state import StateStore
from exporter.tally import Tally

log = structlog.get_logger(__name__)

READ_BUDGET = 4 << 20
"""Bytes that one source may give before the next one has its turn."""

MOST_KINDS = 65_536
"""Kinds that are remembered between commits."""

LONGEST_RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class Feed:
    """A source and the decoder of its lines."""

    source: Source
    decoder: Decoder


@dataclass
class _Lines:
    """What a batch held of one source's lines."""

    read: int = 0
    skipped: int = 0
    records: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A batch that is summed and not committed yet."""

    changes: Sequence[Change]
    positions: Mapping[str, Mapping[str, bytes | None]]
    folded: Counter[str]


class Pipeline:
    """Feeds, the ledger and the store.

    Args:
        commit_interval_s: a batch is committed when the sources have nothing more, or after this long.
        poll_interval_s: between two looks at idle sources.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        *,
        ledger: Ledger,
        accountant: Accountant,
        prices: Prices,
        kinds: Kinds,
        store: StateStore,
        metrics: PipelineMetrics,
        commit_interval_s: float = 1.0,
        poll_interval_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feeds = feeds
        self._ledger = ledger
        self._accountant = accountant
        self._prices = prices
        self._kinds = kinds
        self._store = store
        self._metrics = metrics
        self._commit_interval_s = commit_interval_s
        self._poll_interval_s = poll_interval_s
        self._clock = clock
        self._tally = Tally([family.instrument for family in ledger])
        self._lines = {feed.source.name: _Lines() for feed in feeds}
        self._pending: _Pending | None = None
        self._stopping = threading.Event()
        self.has_committed = threading.Event()
        self.commit_error: str | None = None

    def run(self) -> None:
        """Step until `stop`, then commit what was read."""
        retry_s = 0.0
        while not self._stopping.is_set():
            try:
                more = self.step()
            except OSError as error:
                retry_s = min(LONGEST_RETRY_S, max(2 * retry_s, 0.25))
                self._report(error, retry_s)
                self._stopping.wait(retry_s)
            else:
                retry_s = 0.0
                if not more:
                    self._stopping.wait(self._poll_interval_s)

    def stop(self) -> None:
        """Let `run` come to its end after the current step."""
        self._stopping.set()

    def _report(self, error: OSError, retry_s: float) -> None:
        self._metrics.commit_failures.inc()
        if self.commit_error is None:
            log.error("commit failed: nothing more is read until it succeeds", error=str(error))
        self.commit_error = str(error)

    def step(self) -> bool:
        """Read and commit one batch; whether there may be more to read at once.

        Raises:
            OSError: the commit failed; the next step tries it again before it reads.
        """
        more = False
        if self._pending is None:
            more = self._read()
            self._pending = self._prepared()
        self._commit(self._pending)
        self._pending = None
        return more

    def _read(self) -> bool:
        """Sum what the sources have, until they have no more or the commit is due."""
        due = self._clock() + self._commit_interval_s
        while True:
            some = False
            for feed in self._feeds:
                for block in feed.source.read(READ_BUDGET):
                    self._decode(feed, block.data)
                    some = True
            if not some:
                return False
            if self._clock() >= due or len(self._kinds) > MOST_KINDS or self._stopping.is_set():
                return True

    def _decode(self, feed: Feed, data: bytes) -> None:
        decoded = feed.decoder.decode(data)
        self._tally.add(decoded.batch, self._prices.estimate(decoded.batch))
        lines = self._lines[feed.source.name]
        lines.read += decoded.lines
        lines.skipped += decoded.skipped
        lines.records += len(decoded.batch)
        lines.rejected.update(decoded.rejected)

    def _prepared(self) -> _Pending:
        fold = self._accountant.fold(self._tally, self._kinds) if self._tally.records else Fold()
        positions = {feed.source.name: feed.source.positions() for feed in self._feeds}
        return _Pending(
            changes=self._ledger.changes(fold.additions),
            positions={name: changed for name, changed in positions.items() if changed},
            folded=fold.folded,
        )

    def _commit(self, pending: _Pending) -> None:
        if pending.changes or pending.positions:
            began = time.perf_counter()
            self._store.commit(pending.changes, pending.positions)
            self._metrics.commit_seconds.observe(time.perf_counter() - began)
            newest = self._tally.newest
            exemplars = self._accountant.exemplars(newest) if newest else ()
            self._ledger.publish(pending.changes, exemplars)
            for feed in self._feeds:
                feed.source.committed()
        if self.commit_error is not None:
            log.info("commit succeeded again")
            self.commit_error = None
        self._count(pending.folded)
        self._tally.clear()
        if len(self._kinds) > MOST_KINDS:
            self._kinds.clear()
        self.has_committed.set()

    def _count(self, folded: Counter[str]) -> None:
        """Tell of the batch in the metrics about ourselves, now that it counts."""
        metrics = self._metrics
        metrics.last_commit.set_to_current_time()
        metrics.series.set(sum(map(len, self._ledger)))
        for label, requests in folded.items():
            metrics.folded.labels(label).inc(requests)
        for source, lines in self._lines.items():
            metrics.lines.labels(source).inc(lines.read)
            metrics.records.labels(source).inc(lines.records)
            metrics.skipped.labels(source, "no_request").inc(lines.skipped)
            for reason, count in lines.rejected.items():
                metrics.rejected.labels(source, reason).inc(count)
            self._lines[source] = _Lines()
