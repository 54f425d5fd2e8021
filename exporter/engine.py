"""A configuration at work: sources, ledger and pipeline over one state, until the next one.

One process has one engine at a time. Several processes with an engine and a state each share the
files of tail sources: `exporter/workers`.
"""

import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, disable_created_metrics

from exporter import config as c
from exporter.accounting import Accountant, Labelling
from exporter.errors import StateError
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.formats import builtin_names, resolve
from exporter.formats.compile import Decoder
from exporter.ledger import Ledger, Listener, nobody
from exporter.pipeline import Feed, Pipeline
from exporter.prices import PRICED, Price, Prices
from exporter.record import Kind, Kinds
from exporter.requestlog.files import DAY_S
from exporter.requestlog.log import RequestLog, RequestLogMetrics, Retention
from exporter.selfmetrics import PipelineMetrics, ProcessMetrics
from exporter.sources.inbox import Inboxes, RecordSource
from exporter.sources.ingest import IngestMetrics, IngestSettings, IngestSource
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.tail import Descriptors, TailMetrics, TailSettings, TailSource
from exporter.sources.tail.records import STARTED
from exporter.sources.tail.share import WHOLE, Share
from exporter.store.state import StateStore
from exporter.vocabulary import IDENTITY, instruments
from exporter.workers.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

EX_SOFTWARE = 70
"""Exit status for a mistake in the program (sysexits.h): a supervisor starts it again."""

SWITCH_INTERVAL_S = 0.001
"""How long a thread keeps the interpreter while another one wants it; Python's own 5 ms would show
as latency in scrapes and commits."""

RELOAD_LIMIT_S = 30.0
"""For the last commit before a reload, which nothing presses: on a busy machine it takes long."""

WATCHED_POLL_S = 1.0
"""Between two looks at what proxies have watched: what waits for one is in a bounded inbox. Pushes
do not wait for it."""


class Metrics:
    """The metrics about the exporter itself; they outlive a change of configuration."""

    def __init__(self) -> None:
        # In the text format they would be series of their own.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.process = ProcessMetrics(self.registry)
        self.pipeline = PipelineMetrics(self.registry)
        self.tail = TailMetrics(self.registry)
        self.ingest = IngestMetrics(self.registry)
        self.proxy = ProxyMetrics(self.registry)
        self.request_log = RequestLogMetrics(self.registry)
        self.otlp = OtlpMetrics(self.registry)
        self.workers = WorkerMetrics(self.registry)


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the work an engine has, where several processes share it.

    Attributes:
        has: whether a source is read here, maybe in part.
        share: which files of a tail source are.
        part: of the request log, as files are named.
        deletes: whether the request log's files of a part are deleted here when it is time.
    """

    has: Callable[[c.SourceConfig], bool] = lambda _: True
    share: Callable[[str], Share] = lambda _: WHOLE
    part: str = ""
    deletes: Callable[[str], bool] = lambda _: True


ALONE = Place()
"""The place of a process that does all of the work."""


class Engine:
    """Runs from `start` to `stop`; then another one may take over the store.

    Args:
        place: among the processes that share the work.
        descriptors: what sources have open from one engine to the next; None if there is no next.
        listener: is told what is committed.

    Attributes:
        config: that it was made of.
        ledger: the series.
        pipeline: what `start` lets run in a thread of its own.
        ingest: the source that takes pushes, if there is one.
    """

    def __init__(
        self,
        config: c.Config,
        store: StateStore,
        metrics: Metrics,
        inboxes: Inboxes | None = None,
        *,
        place: Place = ALONE,
        descriptors: Descriptors | None = None,
        listener: Listener = nobody,
    ) -> None:
        self.config = config
        inboxes = inboxes or Inboxes()
        self.ingest: IngestSource | None = None
        self._place = place
        self._descriptors = descriptors
        self.ledger = new_ledger(config, listener)
        unfit = self.ledger.load(store.series(self.ledger.instruments))
        if unfit:
            log.warning(
                "series that no longer fit the configuration are dropped", series=len(unfit)
            )
            store.forget(unfit)
        kinds = Kinds()
        prices = price_list(config)
        self._feeds = [
            *self._watched(inboxes, kinds),
            *(
                self._feed(source, store, kinds, metrics, inboxes)
                for source in config.sources
                if place.has(source) and not source.proxy
            ),
        ]
        self._request_log: RequestLog | None = None
        if config.request_log.enabled:
            self._request_log = request_log(
                config, prices, store, metrics.request_log, place.part, place.deletes
            )
        self.pipeline = Pipeline(
            self._feeds,
            ledger=self.ledger,
            accountant=Accountant(self.ledger, labelling(config.labels), prices),
            prices=prices,
            kinds=kinds,
            store=store,
            metrics=metrics.pipeline,
            request_log=self._request_log,
            commit_interval_s=config.commit_interval,
            poll_interval_s=_poll_interval(config),
            arrived=inboxes.arrived,
        )
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def _watched(self, inboxes: Inboxes, kinds: Kinds) -> list[Feed]:
        """Of what proxies have watched, those too that a configuration before this one had."""
        attributes = self.config.labels.attributes
        for source in self.config.sources:
            if source.proxy:
                inboxes.of_records(source.name, attributes)
        return [
            Feed(RecordSource(name, inboxes, kinds, attributes), None) for name in inboxes.watched()
        ]

    def _feed(
        self,
        source: c.SourceConfig,
        store: StateStore,
        kinds: Kinds,
        metrics: Metrics,
        inboxes: Inboxes,
    ) -> Feed:
        if source.ingest:
            # What is being pushed as a reload comes holds its source, which must hold no engine.
            attributes = self.config.labels.attributes
            self.ingest = IngestSource(
                source.name,
                _ingest_settings(source.ingest, self.config),
                inboxes.of_pushes(source.name),
                lambda spec: Decoder(spec, kinds, attributes),
                store.positions(source.name),
                metrics.ingest,
            )
            return Feed(self.ingest, None)
        if source.tail:
            return self._tail(source.name, source.tail, store, kinds, metrics)
        raise TypeError(f"source {source.name} is of no kind")

    def _tail(
        self, name: str, tail: c.TailConfig, store: StateStore, kinds: Kinds, metrics: Metrics
    ) -> Feed:
        spec = resolve(tail.format, self.config.formats)
        decoder = Decoder(
            spec,
            kinds,
            self.config.labels.attributes,
            tail.timezone,
            details=self.config.request_log.enabled,
        )
        settings = _tail_settings(tail, from_end=has_lost_its_state(store))
        source = TailSource(
            name,
            settings,
            store.positions(name),
            metrics.tail,
            share=self._place.share(name),
            descriptors=self._descriptors,
        )
        return Feed(source, decoder)

    def _run(self) -> None:
        """Run the pipeline; a mistake in it ends the process, before it can count wrongly."""
        try:
            self.pipeline.run()
        except Exception:
            log.exception("the pipeline failed: leaving, a restart goes on from the last commit")
            os._exit(EX_SOFTWARE)

    def start(self) -> None:
        """Begin to read; what only sources of before had open is closed."""
        if self._descriptors is not None:
            self._descriptors.close(but=[one.name for one in self.config.sources if one.tail])
        self._thread.start()

    def stop(self, limit_s: float) -> bool:
        """Commit what was read, and read no more; whether that was done within the limit.

        If not, `resume` lets it go on, and nothing that was read is lost.
        """
        self.pipeline.stop()
        self._thread.join(limit_s)
        if self._thread.is_alive() or self.pipeline.commit_error is not None:
            return False
        for feed in self._feeds:
            feed.source.close()
        if self._request_log is not None:
            self._request_log.close()
        return True

    def resume(self) -> None:
        """Go on after a `stop` that did not succeed."""
        stopped = self._thread

        def go_on() -> None:
            stopped.join()  # For good if it saw the stop, else never before the next one.
            self._run()

        self.pipeline.go_on()
        self._thread = threading.Thread(target=go_on, name="pipeline", daemon=True)
        self._thread.start()

    def not_ready(self) -> str | None:
        """Why readers should not rely on the series now, None if they may."""
        if not self._thread.is_alive():
            return "the pipeline has stopped"
        if self.pipeline.commit_error is not None:
            return f"commits fail: {self.pipeline.commit_error}"
        if not self.pipeline.has_committed.is_set():
            return "nothing is committed yet"
        return None


def _poll_interval(config: c.Config) -> float:
    watched_s = min(WATCHED_POLL_S, config.commit_interval)
    wanted: list[float] = [source.tail.poll_interval for source in config.sources if source.tail]
    wanted += [watched_s for source in config.sources if source.proxy]
    return min(wanted, default=watched_s)


def refuse_other_kinds(config: c.Config, store: StateStore) -> None:
    """What one kind of source has stored means nothing to another, and must not be lost.

    Raises:
        StateError: a source has the name of one that was of another kind.
    """
    for source in config.sources:
        stored = {} if source.proxy else store.positions(source.name)
        was_tail = STARTED in stored
        if stored and was_tail != bool(source.tail):
            before, now = ("tail", "ingest") if was_tail else ("ingest", "tail")
            raise StateError(
                f"sources: {source.name!r} was `{before}` before, and its state is kept: as `{now}`"
                " it needs another name"
            )


def has_lost_its_state(store: StateStore) -> bool:
    """Files must not be read from their beginning where the state that knew them was corrupt."""
    return store.facts.replaced_corrupt and store.facts.batch == 0


def new_ledger(config: c.Config, listener: Listener = nobody) -> Ledger:
    """The ledger of a configuration, without a series."""
    vocabulary = instruments(config.histograms.buckets())
    return Ledger(vocabulary, IDENTITY + config.labels.attributes, listener=listener)


def request_log(
    config: c.Config,
    prices: Prices,
    store: StateStore,
    metrics: RequestLogMetrics,
    part: str = "",
    deletes: Callable[[str], bool] = lambda _: True,
) -> RequestLog:
    """The request log's writer; `part` is whose files it writes, `deletes` as of `RequestLog`."""

    def estimate_currency(kind: Kind) -> str:
        price = prices.of(kind)
        return price.currency if price else ""

    return RequestLog(
        config.request_log_dir,
        Retention(math.ceil(config.request_log.retention / DAY_S), config.request_log.max_size),
        metrics,
        state=store.facts.instance_id,
        batch=store.batch,
        attributes=config.labels.attributes,
        estimate_currency=estimate_currency,
        part=part,
        deletes=deletes,
    )


def _ingest_settings(ingest: c.IngestConfig, config: c.Config) -> IngestSettings:
    return IngestSettings(
        token=ingest.token.read() if ingest.token else None,
        max_body_bytes=ingest.max_body,
        repeat_window_s=ingest.repeat_window,
        formats={
            name: resolve(name, config.formats) for name in {*builtin_names(), *config.formats}
        },
    )


def labelling(labels: c.LabelsConfig) -> Labelling:
    """How series are labelled."""
    return Labelling(labels.attributes, labels.models, labels.limit, labels.statuses)


def _tail_settings(tail: c.TailConfig, *, from_end: bool) -> TailSettings:
    return TailSettings(
        paths=tail.paths,
        exclude=tail.exclude,
        start="end" if from_end else tail.start,
        envelope=tail.envelope,
        max_line_bytes=tail.max_line_size,
        rotated_wait_s=tail.rotated_wait,
        max_open=tail.max_open_files,
    )


def price_list(config: c.Config) -> Prices:
    """The configured prices."""
    return Prices([_price(entry) for entry in config.prices])


def _price(entry: c.Price) -> Price:
    """Prices of parts as what they cost more, or less, than the whole that they are a part of."""
    million = 1_000_000
    input_, output = (entry.input or 0) / million, (entry.output or 0) / million

    def difference(part: float | None, whole: float) -> float:
        return 0.0 if part is None else part / million - whole

    per_unit = {
        "input_tokens": input_,
        "output_tokens": output,
        "cached_input_tokens": difference(entry.cached_input, input_),
        "cache_creation_input_tokens": difference(entry.cache_creation_input, input_),
        "reasoning_output_tokens": difference(entry.reasoning_output, output),
        "images": entry.image or 0,
        "seconds": entry.second or 0,
        "characters": entry.character or 0,
    }
    return Price(entry.models, entry.currency, tuple(per_unit[name] for name in PRICED))
