"""From sums by kind to series: which series each kind of request adds to.

Kinds are few and each is looked at once, so what happens here for a kind may be plain Python.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from exporter import tally as t
from exporter import vocabulary as v
from exporter.labels import Guard
from exporter.ledger import Additions, Exemplar, LabelValues, Ledger
from exporter.prices import Prices
from exporter.record import Batch, Indices, Kind, Kinds, Numbers, Outcome
from exporter.tally import Tally

MOST_EXEMPLARS = 256
"""Requests of a commit, its newest, that become exemplars."""

LONGEST_EXEMPLAR = 128
"""Characters of an exemplar's label names and values together, by the OpenMetrics specification."""

_NOT_LOOKED_UP, _FEEDS_NONE = -1, -2


@dataclass(frozen=True, slots=True)
class Feed:
    """Sums of a kind, and the series that they go to.

    Attributes:
        sums: of the given kinds in a tally, shape (kinds, width of the instrument).
        labels: values of the instrument's attributes beyond the identity; None: this kind feeds none.
    """

    instrument: v.Instrument
    sums: Callable[[Tally, Indices], Numbers]
    labels: Callable[[Kind], LabelValues | None]


@dataclass(frozen=True, slots=True)
class Labelling:
    """How series are labelled: the configuration's `labels` section.

    Attributes:
        attributes: names of the extra attributes that records carry.
        models: known beforehand.
        limit: of values of each label.
        statuses: whose series exist at zero as soon as their model is known.
    """

    attributes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    limit: int = 200
    statuses: tuple[int, ...] = (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Fold:
    """What a tally adds to the series.

    Attributes:
        folded: requests, by label, whose value of it became `other`.
    """

    additions: Additions = field(default_factory=Additions)
    folded: Counter[str] = field(default_factory=Counter)


class Accountant:
    """Knows the series of each kind."""

    def __init__(self, ledger: Ledger, labelling: Labelling, prices: Prices) -> None:
        self._ledger = ledger
        self._prices = prices
        self._statuses = labelling.statuses
        self._feeds = self._all_feeds()
        names = ("provider", "operation", "error_type", *labelling.attributes)
        self._models = Guard(labelling.limit, labelling.models)
        self._guards = {name: Guard(labelling.limit) for name in names}
        self._attributes = labelling.attributes
        self._generation = -1
        self._known: set[LabelValues] = set()
        self._outcomes: set[tuple[int, str]] = set()
        self._recall()

    def _all_feeds(self) -> tuple[Feed, ...]:
        def amount(instrument: v.Instrument, *amounts: int, labels: _Labels = _none) -> Feed:
            columns = list(amounts)
            return Feed(
                instrument,
                lambda tally, kinds: tally.amounts[kinds][:, columns].sum(axis=1, keepdims=True),
                labels,
            )

        def values(distribution: int, labels: _Labels = _none) -> Feed:
            instrument = t.DISTRIBUTIONS[distribution].instrument
            return Feed(instrument, lambda tally, kinds: tally.distributions[distribution][kinds], labels)

        return (
            values(t.DURATION, lambda kind: (self._error_type(kind),)),
            values(t.FIRST_TOKEN),
            values(t.OUTPUT_TOKEN),
            values(t.INPUT_USAGE, _fixed("input")),
            values(t.OUTPUT_USAGE, _fixed("output")),
            values(t.OVERHEAD),
            amount(v.REQUESTS, t.REQUESTS, labels=self._outcome),
            amount(v.TOKENS, t.INPUT, labels=_fixed("input")),
            amount(v.TOKENS, t.OUTPUT, labels=_fixed("output")),
            amount(v.CACHED_INPUT_TOKENS, t.CACHED),
            amount(v.CACHE_CREATION_INPUT_TOKENS, t.CACHE_CREATION),
            amount(v.REASONING_OUTPUT_TOKENS, t.REASONING),
            amount(v.USAGE, t.INPUT, t.OUTPUT, labels=lambda kind: ("token", _modality(kind))),
            amount(v.USAGE, t.IMAGES, labels=_fixed("image", "image")),
            amount(v.USAGE, t.SECONDS, labels=lambda kind: ("second", _modality(kind))),
            amount(v.USAGE, t.CHARACTERS, labels=lambda kind: ("character", _modality(kind))),
            amount(v.REQUESTS_WITHOUT_USAGE, t.WITHOUT_USAGE),
            amount(v.CONTENT_FILTERED, t.REQUESTS, labels=_if_filtered),
            amount(v.CACHE_HITS, t.REQUESTS, labels=lambda kind: () if kind.cache_hit else None),
            amount(v.COST, t.COST_REPORTED, labels=lambda kind: (kind.currency, "reported")),
            amount(v.COST, t.COST_ESTIMATED, labels=self._estimated),
        )

    def _recall(self) -> None:
        """Let in again what has series from before."""
        for family in self._ledger:
            for labels in family.labels:
                named = dict(zip(family.attributes, labels, strict=True))
                self._models.admit(named[v.MODEL], beyond_limit=True)
                self._guards["provider"].admit(named[v.PROVIDER], beyond_limit=True)
                self._guards["operation"].admit(named[v.OPERATION], beyond_limit=True)
                for name in ("error_type", *self._attributes):
                    attribute = v.ERROR_TYPE if name == "error_type" else name
                    self._guards[name].admit(named.get(attribute, ""), beyond_limit=True)
                if family.instrument.name == v.REQUESTS.name:
                    self._outcomes.add((int(named[v.STATUS_CODE]), named[v.ERROR_TYPE]))

    def fold(self, tally: Tally, kinds: Kinds) -> Fold:
        """What the tally adds; series that it needs are born at zero."""
        self._look_up(kinds)
        touched = tally.touched()
        self._let_in(kinds, touched)
        additions = Additions()
        for number, feed in enumerate(self._feeds):
            sums = feed.sums(tally, touched)
            used = np.flatnonzero(sums.any(axis=1))
            rows = self._rows_of(number, kinds, touched[used])
            fed = rows >= 0
            if fed.any():
                additions.add(self._ledger[feed.instrument], rows[fed], sums[used[fed]])
        folded: Counter[str] = Counter()
        for kind in touched.tolist():
            for label in self._folded.get(kind, ()):
                folded[label] += int(tally.amounts[kind, t.REQUESTS])
        return Fold(additions, folded)

    def _look_up(self, kinds: Kinds) -> None:
        """Make room for the kinds that are new."""
        if self._generation != kinds.generation:
            self._generation = kinds.generation
            self._rows = np.zeros((0, len(self._feeds)), np.int64)
            self._identities: dict[int, LabelValues] = {}
            self._folded: dict[int, tuple[str, ...]] = {}
        missing = len(kinds) - len(self._rows)
        if missing > 0:
            new = np.full((missing, len(self._feeds)), _NOT_LOOKED_UP, np.int64)
            self._rows = np.concatenate([self._rows, new])

    def _let_in(self, kinds: Kinds, touched: Indices) -> None:
        """Models that have succeeded become labels; kinds that waited for theirs are looked up anew."""
        version = self._models.version
        for number in touched.tolist():
            if number not in self._identities and kinds[number].outcome is Outcome.SUCCESS:
                self._models.admit(kinds[number].model or v.UNKNOWN)
        if self._models.version != version:
            for number in [n for n in self._folded if kinds[n].model in self._models]:
                del self._folded[number]
                self._identities.pop(number, None)
                self._rows[number] = _NOT_LOOKED_UP

    def _rows_of(self, feed: int, kinds: Kinds, numbers: Indices) -> Indices:
        """The rows that a feed's sums go to, `_FEEDS_NONE` where to none; shape (len(numbers),)."""
        rows = self._rows[numbers, feed]
        for place in np.flatnonzero(rows == _NOT_LOOKED_UP).tolist():
            number = int(numbers[place])
            kind = kinds[number]
            identity = self._identity(number, kind)
            labels = self._feeds[feed].labels(kind)
            row = _FEEDS_NONE
            if labels is not None:
                row = self._ledger.row(self._feeds[feed].instrument, identity + labels)
            rows[place] = self._rows[number, feed] = row
        return rows

    def _identity(self, number: int, kind: Kind) -> LabelValues:
        """The labels that each series of a kind has; `other` for what was not let in."""
        identity = self._identities.get(number)
        if identity is not None:
            return identity
        folded = []
        values = []
        model = kind.model or v.UNKNOWN
        if model not in self._models:
            folded.append("model")
            model = v.OTHER
        wanted = {"provider": kind.provider or v.UNKNOWN, "operation": kind.operation or v.UNKNOWN}
        wanted.update(zip(self._attributes, kind.attributes, strict=True))
        for name, value in wanted.items():
            admitted = self._guards[name].admit(value)
            values.append(value if admitted else v.OTHER)
            if not admitted:
                folded.append(name)
        identity = self._identities[number] = (model, *values)
        if folded:
            self._folded[number] = tuple(folded)
        self._begin_at_zero(identity)
        return identity

    def _begin_at_zero(self, identity: LabelValues) -> None:
        """Counters exist at zero once their model is known, so that a rate sees the first error."""
        if identity in self._known:
            return
        self._known.add(identity)
        usual = [(status, "" if status < 300 else str(status)) for status in self._statuses]
        for status, error_type in sorted({*usual, *self._outcomes}):
            self._ledger.row(v.REQUESTS, (*identity, str(status), error_type))
        for token_type in ("input", "output"):
            self._ledger.row(v.TOKENS, (*identity, token_type))
        for counter in (v.REQUESTS_WITHOUT_USAGE, v.CONTENT_FILTERED, v.CACHED_INPUT_TOKENS):
            self._ledger.row(counter, identity)

    def _error_type(self, kind: Kind) -> str:
        return kind.error_type if self._guards["error_type"].admit(kind.error_type) else v.OTHER

    def _outcome(self, kind: Kind) -> LabelValues:
        error_type = self._error_type(kind)
        self._outcomes.add((kind.status_code, error_type))
        return str(kind.status_code), error_type

    def _estimated(self, kind: Kind) -> LabelValues | None:
        price = self._prices.of(kind.model) or self._prices.of(kind.response_model)
        return (price.currency, "estimated") if price else None

    def exemplars(self, batch: Batch) -> list[tuple[v.Instrument, int, int, Exemplar]]:
        """The newest requests, for instrument, row and bucket; the newest of a bucket comes last."""
        newest = range(max(0, len(batch) - MOST_EXEMPLARS), len(batch))
        starts = batch.start_times()
        found = []
        for feed, column in ((t.DURATION, "latency"), (t.FIRST_TOKEN, "time_to_first_token")):
            instrument = self._feeds[feed].instrument
            values = getattr(batch.numbers, column)
            for record in newest:
                value, row = float(values[record]), int(self._rows[batch.kind[record], feed])
                request_id, trace_id = batch.request_id[record], batch.trace_id[record]
                length = len("request_id") + len(request_id) + len("trace_id") + len(trace_id)
                if value != value or row < 0 or not request_id or length > LONGEST_EXEMPLAR:
                    continue
                end = float(starts[record] + np.nan_to_num(batch.numbers.latency[record]))
                exemplar = Exemplar(request_id, trace_id, value, end)
                found.append((instrument, row, bisect_left(instrument.buckets, value), exemplar))
        return found


_Labels = Callable[[Kind], LabelValues | None]


def _none(kind: Kind) -> LabelValues | None:
    return ()


def _fixed(*values: str) -> _Labels:
    return lambda kind: values


def _modality(kind: Kind) -> str:
    return v.MODALITIES.get(kind.operation, "text")


def _if_filtered(kind: Kind) -> LabelValues | None:
    signs = {kind.error_type.lower(), kind.finish_reason.lower()}
    return () if signs & v.CONTENT_FILTER_SIGNS else None
