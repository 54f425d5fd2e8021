"""From sources to series: read, decode, sum; commit; publish.

One thread does all of it, so that nothing holds the event loop and nothing needs a lock but the
ledger. A step reads what is there, up to a bound, makes it durable together with the positions it
was read up to, and only then lets readers see it. What could not be committed is kept and tried
again before anything more is read: it is neither lost nor counted twice.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from exporter.accounting import MOST_EXEMPLARS, Accountant
from exporter.formats.compile import Decoded, Decoder
from exporter.formats.lines import REASONS
from exporter.ledger import Change, Ledger, PlacedExemplar
from exporter.logs import error_text
from exporter.prices import Prices
from exporter.record import Kinds, Numbers
from exporter.requestlog.log import RequestLog
from exporter.selfmetrics import PipelineMetrics
from exporter.sources import Source
from exporter.store.state import StateStore
from exporter.tally import Tally

log = structlog.get_logger(__name__)

READ_BUDGET = 4 << 20
"""Bytes that one source may give before the next one has its turn."""

MOST_KINDS = 16_384
"""Kinds that are remembered between commits: 50 MiB at most, even if clients invent names."""

FEW_KINDS, KINDS_A_KIND_IN_USE = 1024, 8
"""Kinds that are always remembered, and further ones for each that the last commit had: a block of
lines takes longer to sum, and more memory, the more there are."""

MOST_WAITING = 50_000
"""Requests that wait, in memory, for a commit that nothing hurries."""

MOST_TOGETHER = 500_000
"""Requests of a commit, some 120 MB of rows: with a long interval a backlog would be any number."""

DECODER_FAILED = "decoder_failed"
"""Reason of a rejected line that the decoder should have rejected by itself."""

LONGEST_RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class Feed:
    """A source and the decoder of its lines, None if it decodes them itself."""

    source: Source
    decoder: Decoder | None


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
    exemplars: Sequence[PlacedExemplar]
    folded: Mapping[str, int]


class Pipeline:
    """Feeds, the ledger and the store.

    Args:
        request_log: where each request is written to as well.
        commit_interval_s: from one commit to the next, if nothing hurries: each has a cost of its
            own, that a little traffic would pay at each look.
        poll_interval_s: between two looks at idle sources.
        arrived: is set by sources that have something which cannot wait for the next look, nor for
            its commit.

    Attributes:
        has_committed: set once a step has committed all that it read.
        commit_error: why the last commit failed, None if it succeeded.
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
        request_log: RequestLog | None = None,
        commit_interval_s: float = 1.0,
        poll_interval_s: float = 0.25,
        arrived: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feeds = feeds
        self._ledger = ledger
        self._accountant = accountant
        self._prices = prices
        self._kinds = kinds
        self._store = store
        self._metrics = metrics
        self._request_log = request_log
        self._commit_interval_s = commit_interval_s
        self._poll_interval_s = poll_interval_s
        self._clock = clock
        self._due = clock()  # Time of the next commit, if nothing hurries.
        self._tally = Tally([family.instrument for family in ledger])
        self._lines = {feed.source.name: _Lines() for feed in feeds}
        self._newest: Decoded | None = None  # Of what is in the tally.
        self._pending: _Pending | None = None
        self._hurries = False  # Somebody waits for what was read.
        self._failing: set[str] = set()  # Sources, and places of decoders: each is logged once.
        self._rejecting: set[tuple[str, str]] = set()  # Sources and reasons, likewise.
        self._stopping = threading.Event()
        self._arrived = arrived or threading.Event()
        self.has_committed = threading.Event()
        self.commit_error: str | None = None
        self._begin_to_count()

    def run(self) -> None:
        """Step until `stop`, and once more, so that what was read is committed.

        Raises:
            Exception: a mistake in this program. Only a restart from the last commit is sure to
                count nothing twice, so it must end the process.
        """
        retry_s = 0.0
        stopping = False
        while not stopping:
            stopping = self._stopping.is_set()
            try:
                more = self.step(may_wait=not stopping)
                wait_s = 0.0 if more else self._until_next_look()
                retry_s = 0.0
            except OSError as error:
                retry_s = min(LONGEST_RETRY_S, max(2 * retry_s, 0.25))
                self._commit_failed(error)
                self._give_room()
                self._stopping.wait(retry_s)
            else:
                self._arrived.wait(wait_s)

    def stop(self) -> None:
        """Let `run` come to its end soon."""
        self._stopping.set()
        self._arrived.set()

    def go_on(self) -> None:
        """Take back a `stop`; if `run` has come to its end, it can run again."""
        self._stopping.clear()

    def step(self, *, may_wait: bool = False) -> bool:
        """Read, and commit one batch; whether there may be more to read at once.

        Args:
            may_wait: the commit may, until it is due, if nobody waits for it.

        Raises:
            OSError: the commit failed; the next step tries it again before it reads.
        """
        more = False
        if self._pending is None:
            more = self._read()
            waits = self._clock() < self._due and self._tally.records < MOST_WAITING
            if may_wait and waits and not more and not self._hurries:
                return False
            self._pending = self._prepared()
        self._commit(self._pending)
        return more

    def _until_next_look(self) -> float:
        """Seconds; fewer than usual where a commit is due before."""
        until_due = self._due - self._clock()
        return min(self._poll_interval_s, until_due) if until_due > 0 else self._poll_interval_s

    def _read(self) -> bool:
        """Sum what the sources have until it is time to commit; whether they may have more."""
        due = self._clock() + self._commit_interval_s
        while True:
            self._hurries |= self._arrived.is_set()
            self._arrived.clear()  # Before the sources are asked, so that what comes later is seen.
            sizes = [self._read_from(feed) for feed in self._feeds]
            if self._clock() >= due or len(self._kinds) > MOST_KINDS or self._stopping.is_set():
                return True
            # One that gave little has no more: to ask at once again would cost more than it has.
            if max(sizes, default=0) < READ_BUDGET // 2:
                return False
            if self._hurries or self._tally.records >= MOST_TOGETHER:
                return True

    def _read_from(self, feed: Feed) -> int:
        """Sum what one source has, up to the budget; bytes."""
        size = 0
        for told in self._told_by(feed):
            if isinstance(told, bytes):
                self._sum(feed, told)
                size += len(told)
            else:
                estimate = self._prices.estimate(told.batch)
                self._log(feed, told, estimate)
                self._add(feed, told, estimate)
            if len(self._kinds) > MOST_KINDS:
                break
        return size

    def _told_by(self, feed: Feed, budget: int = READ_BUDGET) -> Iterator[bytes | Decoded]:
        """What a source has until it has no more, or fails; the other sources go on."""
        try:
            yield from feed.source.read(budget)
            self._failing.discard(feed.source.name)
        except Exception as error:
            self._source_failed(feed, error)

    def _sum(self, feed: Feed, data: bytes) -> None:
        if feed.decoder is None:
            raise TypeError(f"source {feed.source.name} yields lines, and has no decoder of them")
        try:
            decoded = feed.decoder.decode(data)
            estimate = self._prices.estimate(decoded.batch)
            # Here, for it reads the times, in which a line may be wrong.
            self._log(feed, decoded, estimate)
        except Exception as error:
            self._decoder_failed(feed, data, error)
            return
        self._add(feed, decoded, estimate)

    def _log(self, feed: Feed, decoded: Decoded, estimate: Numbers | None) -> None:
        if self._request_log is not None:
            self._request_log.add(feed.source.name, decoded.batch, estimate)

    def _add(self, feed: Feed, decoded: Decoded, estimate: Numbers | None) -> None:
        self._tally.add(decoded.batch, estimate)
        if len(decoded.batch):
            self._newest = decoded
        lines = self._lines[feed.source.name]
        lines.read += decoded.lines
        lines.skipped += decoded.skipped
        lines.records += len(decoded.batch)
        lines.rejected.update(decoded.rejected)

    def _prepared(self) -> _Pending:
        fold = self._accountant.fold(self._tally, self._kinds) if self._tally.records else None
        newest, self._newest = self._newest, None
        positions = ((feed.source.name, feed.source.positions()) for feed in self._feeds)
        return _Pending(
            changes=self._ledger.changes(fold.additions) if fold else (),
            positions={name: changed for name, changed in positions if changed},
            exemplars=self._accountant.exemplars(newest.newest(MOST_EXEMPLARS)) if newest else (),
            folded=fold.folded if fold else {},
        )

    def _commit(self, pending: _Pending) -> None:
        if pending.changes or pending.positions:
            began = time.perf_counter()
            self._due = self._clock() + self._commit_interval_s
            if self._request_log is not None:
                self._request_log.commit(self._store.batch + 1)
            self._store.commit(pending.changes, pending.positions)
            self._metrics.commit_seconds.observe(time.perf_counter() - began)
            self._ledger.publish(pending.changes, pending.exemplars)
        self._pending = None  # From here on the batch counts, whatever fails.
        self._hurries = False
        kinds_in_use = len(self._tally.touched())
        if self._tally.records:
            self._tally.clear()
        self._count(pending)
        if self._request_log is not None:
            self._request_log.committed()
            self._request_log.tend()
        if len(self._kinds) > min(MOST_KINDS, FEW_KINDS + KINDS_A_KIND_IN_USE * kinds_in_use):
            self._kinds.clear()
        for feed in self._feeds:
            try:
                feed.source.committed()
            except Exception as error:
                self._source_failed(feed, error)
        if self.commit_error is not None:
            log.info("commit succeeded again")
            self.commit_error = None
        self.has_committed.set()

    def _commit_failed(self, error: OSError) -> None:
        self._metrics.commit_failures.inc()
        if self.commit_error is None:
            log.error("commit failed: nothing more is read until it succeeds", error=str(error))
        self.commit_error = str(error)

    def _give_room(self) -> None:
        """Let go of what must not be held for ever: commits may fail because the disk is full."""
        for feed in self._feeds:
            for _ in self._told_by(feed, 0):
                raise TypeError(f"source {feed.source.name} tells of what was not asked for")
        if self._request_log is not None:
            self._request_log.give_room()

    def _source_failed(self, feed: Feed, error: Exception) -> None:
        self._metrics.source_failures.labels(feed.source.name).inc()
        if feed.source.name not in self._failing:
            self._failing.add(feed.source.name)
            log.error(
                "source failed: it is tried again",
                source=feed.source.name,
                error=error_text(error),
            )

    def _decoder_failed(self, feed: Feed, data: bytes, error: Exception) -> None:
        """Sum the lines one by one, and reject the one that the decoder fails on."""
        lines = data.split(b"\n")[:-1]
        if len(lines) > 1:
            for line in lines:
                self._sum(feed, line + b"\n")
            return
        text = error_text(error)
        if text not in self._failing:
            self._failing.add(text)
            log.error("decoder failed: the line is rejected", source=feed.source.name, error=text)
        self._lines[feed.source.name].read += 1
        self._lines[feed.source.name].rejected[DECODER_FAILED] += 1

    def _begin_to_count(self) -> None:
        """Have each of the metrics about ourselves there, at zero if need be."""
        metrics = self._metrics
        metrics.series.set(sum(map(len, self._ledger)))
        for label in self._accountant.guarded:
            metrics.folded.labels(label)
        for source in self._lines:
            metrics.lines.labels(source)
            metrics.records.labels(source)
            metrics.skipped.labels(source, "no_request")
            for reason in (*REASONS, DECODER_FAILED):
                metrics.rejected.labels(source, reason)

    def _count(self, pending: _Pending) -> None:
        """Tell of the batch in the metrics about ourselves, now that it counts."""
        metrics = self._metrics
        metrics.last_commit.set_to_current_time()
        if pending.changes:
            metrics.series.set(sum(map(len, self._ledger)))
        for label, requests in pending.folded.items():
            metrics.folded.labels(label).inc(requests)
        for source, lines in self._lines.items():
            if not lines.read:
                continue
            metrics.lines.labels(source).inc(lines.read)
            metrics.records.labels(source).inc(lines.records)
            metrics.skipped.labels(source, "no_request").inc(lines.skipped)
            for reason, count in lines.rejected.items():
                metrics.rejected.labels(source, reason).inc(count)
                self._tell_of_rejected(source, reason)
            self._lines[source] = _Lines()

    def _tell_of_rejected(self, source: str, reason: str) -> None:
        if reason != DECODER_FAILED and (source, reason) not in self._rejecting:
            self._rejecting.add((source, reason))
            log.warning(
                "lines cannot be read",
                source=source,
                reason=reason,
                so="they do not count; `formats test` shows why",
            )
