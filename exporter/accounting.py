"""From sums by kind to series: which series each kind of request adds to.

Kinds are few and each is looked at once, so what happens here for a kind may be plain Python.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from exporter import tally as t
from exporter import vocabulary as v
from exporter.labels import USUAL_LIMIT, Guard
from exporter.ledger import Additions, Exemplar, LabelValues, Ledger, PlacedExemplar
from exporter.prices import Prices
from exporter.record import Batch, Indices, Kind, Kinds, Numbers, Outcome
from exporter.tally import Tally

MOST_EXEMPLARS = 256
"""Requests of a commit, its newest, that become exemplars."""

LONGEST_EXEMPLAR = 128
"""Characters of an exemplar's label names and values together, by the OpenMetrics specification."""

MOST_OUTCOMES = 32
"""Outcomes, usual and seen, that each new identity has at zero; each of them is a series."""

COMBINATIONS = 50
"""Times `Labelling.limit`: so many combinations of an identity's labels there may be. Clients who
choose two extra attributes could else make 40,000 of them, and with three millions."""

LATEST_TIME = 1e11
"""Unix seconds, in the year 5138. Prometheus refuses a whole scrape for one absurd time in it."""

_NOT_LOOKED_UP, _FEEDS_NONE = -1, -2

ExtraLabels = Callable[[Kind], LabelValues | None]
"""Values of an instrument's attributes beyond the identity; None: this kind has no such series."""


@dataclass(frozen=True, slots=True)
class Account:
    """Sums of a kind, and the series that they go to.

    Attributes:
        sums: of the given kinds in a tally, shape (kinds, width of the instrument).
    """

    instrument: v.Instrument
    sums: Callable[[Tally, Indices], Numbers]
    labels: ExtraLabels


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
    limit: int = USUAL_LIMIT
    statuses: tuple[int, ...] = v.USUAL_STATUSES


@dataclass(frozen=True, slots=True)
class Fold:
    """What a tally adds to the series.

    Attributes:
        folded: requests, by label in Prometheus's spelling, whose value of it became `other`.
    """

    additions: Additions
    folded: Counter[str]


class Accountant:
    """Knows the series of each kind."""

    def __init__(self, ledger: Ledger, labelling: Labelling, prices: Prices) -> None:
        self._ledger = ledger
        self._prices = prices
        self._identity = v.IDENTITY + labelling.attributes
        self._outcomes: dict[LabelValues, None] = {
            (str(status), "" if status < 300 else str(status)): None
            for status in labelling.statuses
        }
        known = {v.MODEL: labelling.models, v.ERROR_TYPE: [error for _, error in self._outcomes]}
        self._guards = {
            name: Guard(labelling.limit, known.get(name, ()))
            for name in (*self._identity, v.ERROR_TYPE, v.CURRENCY)
        }
        self._accounts = self._all_accounts()
        self._most_identities = COMBINATIONS * labelling.limit
        self._known: set[LabelValues] = set()
        self._begun: set[LabelValues] = set()
        self._generation = -1
        self._recall()

    @property
    def guarded(self) -> tuple[str, ...]:
        """Labels, in Prometheus's spelling, whose values may be folded into `other`."""
        return tuple(map(v.prometheus_label, self._guards))

    def _all_accounts(self) -> tuple[Account, ...]:
        """Those of `DISTRIBUTIONS` first, in their order."""

        def amount(instrument: v.Instrument, *amounts: int, labels: ExtraLabels = _none) -> Account:
            def sums(tally: Tally, kinds: Indices) -> Numbers:
                of_kinds: Numbers = tally.amounts[kinds[:, np.newaxis], amounts]
                total: Numbers = of_kinds.sum(axis=1, keepdims=True)
                return total

            return Account(instrument, sums, labels)

        def values(distribution: int, labels: ExtraLabels = _none) -> Account:
            return Account(
                t.DISTRIBUTIONS[distribution].instrument,
                lambda tally, kinds: tally.distributions[distribution][kinds],
                labels,
            )

        return (
            values(t.DURATION, lambda kind: (self._label(v.ERROR_TYPE, kind.error_type),)),
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
            amount(v.COST, t.COST_REPORTED, labels=self._reported),
            amount(v.COST, t.COST_ESTIMATED, labels=self._estimated),
        )

    def _recall(self) -> None:
        """Let in again what has series from before."""
        for family in self._ledger:
            for labels in family.labels:
                for name, value in zip(family.attributes, labels, strict=True):
                    if name in self._guards:
                        self._guards[name].admit(value, beyond_limit=True)
        for labels in self._ledger[v.REQUESTS].labels:
            self._known.add(labels[: len(self._identity)])
            self._remember(labels[len(self._identity) :])

    def fold(self, tally: Tally, kinds: Kinds) -> Fold:
        """What the tally adds; series that it needs are born at zero."""
        self._make_room(kinds)
        touched = tally.touched()
        self._let_in(kinds, touched)
        additions = Additions()
        for number, account in enumerate(self._accounts):
            sums = account.sums(tally, touched)
            used = np.flatnonzero(sums.any(axis=1))
            rows = self._rows_of(number, kinds, touched[used])
            fed = rows >= 0
            if fed.any():
                additions.add(self._ledger[account.instrument], rows[fed], sums[used[fed]])
        folded: Counter[str] = Counter()
        for kind in self._folded.keys() & touched.tolist():
            for label in self._folded[kind]:
                folded[label] += int(tally.amounts[kind, t.REQUESTS])
        return Fold(additions, folded)

    def _make_room(self, kinds: Kinds) -> None:
        """For the kinds that are new."""
        if self._generation != kinds.generation:
            self._generation = kinds.generation
            self._rows: Indices = np.zeros((0, len(self._accounts)), np.int64)
            self._identities: dict[int, LabelValues] = {}
            self._folded: dict[int, Sequence[str]] = {}
        missing = len(kinds) - len(self._rows)
        if missing > 0:
            new = np.full((missing, len(self._accounts)), _NOT_LOOKED_UP, np.int64)
            self._rows = np.concatenate([self._rows, new])

    def _let_in(self, kinds: Kinds, touched: Indices) -> None:
        """Models that have succeeded become labels; kinds that waited for it are looked up anew."""
        models = self._guards[v.MODEL]
        let_in = set()
        for number in touched.tolist():
            if number not in self._identities and kinds[number].outcome is Outcome.SUCCESS:
                model = kinds[number].model
                if model not in models and models.admit(model):
                    let_in.add(model)
        for number in [n for n in self._folded if kinds[n].model in let_in] if let_in else ():
            del self._folded[number], self._identities[number]
            self._rows[number] = _NOT_LOOKED_UP

    def _rows_of(self, account: int, kinds: Kinds, numbers: Indices) -> Indices:
        """The rows that an account's sums go to or `_FEEDS_NONE`; shape (len(numbers),)."""
        rows: Indices = self._rows[numbers, account]
        instrument, labels_of = self._accounts[account].instrument, self._accounts[account].labels
        for place in np.flatnonzero(rows == _NOT_LOOKED_UP).tolist():
            number = int(numbers[place])
            identity = self._identity_of(number, kinds[number])
            labels = labels_of(kinds[number])
            row = _FEEDS_NONE if labels is None else self._ledger.row(instrument, identity + labels)
            rows[place] = self._rows[number, account] = row
        return rows

    def _identity_of(self, number: int, kind: Kind) -> LabelValues:
        """The labels that each series of a kind has; `other` for what was not let in."""
        identity = self._identities.get(number)
        if identity is None:
            names = (
                kind.model or v.UNKNOWN,
                kind.provider or v.UNKNOWN,
                kind.operation or v.UNKNOWN,
            )
            wanted = dict(zip(self._identity, names + kind.attributes, strict=True))
            wanted |= {v.ERROR_TYPE: kind.error_type, v.CURRENCY: kind.currency}
            given = {name: self._label(name, value) for name, value in wanted.items()}
            identity = self._let_in_together(tuple(given[name] for name in self._identity))
            given |= zip(self._identity, identity, strict=True)
            self._identities[number] = identity
            if given != wanted:
                self._folded[number] = [
                    v.prometheus_label(name) for name in wanted if given[name] != wanted[name]
                ]
            self._begin_at_zero(identity)
        return identity

    def _label(self, name: str, value: str) -> str:
        """The value, or `other` if it was not let in; a model is let in by its success alone."""
        guard = self._guards[name]
        is_in = value in guard if name == v.MODEL else guard.admit(value)
        return value if is_in else v.OTHER

    def _let_in_together(self, identity: LabelValues) -> LabelValues:
        """The identity; without its extra attributes if there are as many as there may be."""
        if identity not in self._known and len(self._known) >= self._most_identities:
            attributes = len(identity) - len(v.IDENTITY)
            return (*identity[: len(v.IDENTITY)], *[v.OTHER] * attributes)
        self._known.add(identity)
        return identity

    def _begin_at_zero(self, identity: LabelValues) -> None:
        """Counters exist at zero once their model is known, so that a rate sees the first error."""
        if identity in self._begun:
            return
        self._begun.add(identity)
        for outcome in self._outcomes:
            self._ledger.row(v.REQUESTS, identity + outcome)
        for token_type in ("input", "output"):
            self._ledger.row(v.TOKENS, (*identity, token_type))
        for counter in (v.REQUESTS_WITHOUT_USAGE, v.CONTENT_FILTERED, v.CACHED_INPUT_TOKENS):
            self._ledger.row(counter, identity)

    def _outcome(self, kind: Kind) -> LabelValues:
        outcome = (str(kind.status_code), self._label(v.ERROR_TYPE, kind.error_type))
        self._remember(outcome)
        return outcome

    def _remember(self, outcome: LabelValues) -> None:
        """What happened to one model is usual for the next."""
        if len(self._outcomes) < MOST_OUTCOMES:
            self._outcomes[outcome] = None

    def _reported(self, kind: Kind) -> LabelValues:
        return self._label(v.CURRENCY, kind.currency), "reported"

    def _estimated(self, kind: Kind) -> LabelValues | None:
        price = self._prices.of(kind)
        return (price.currency, "estimated") if price else None

    def exemplars(self, batch: Batch) -> list[PlacedExemplar]:
        """The newest requests of a batch that was folded; the newest of a bucket comes last."""
        newest = slice(max(0, len(batch) - MOST_EXEMPLARS), len(batch))
        latency = batch.numbers.latency[newest]
        ends = batch.start_times()[newest] + np.nan_to_num(latency)
        ends[~((ends >= 0) & (ends < LATEST_TIME))] = np.nan
        ids = batch.request_ids()[newest], batch.trace_ids()[newest]
        requests = [*zip(*ids, ends.tolist(), strict=True)]
        fit = [
            bool(request_id) and _is_short(request_id, trace) for request_id, trace, _ in requests
        ]
        found = []
        for account, values in (
            (t.DURATION, latency),
            (t.FIRST_TOKEN, batch.numbers.time_to_first_token[newest]),
        ):
            instrument = self._accounts[account].instrument
            rows = self._rows[batch.kind[newest], account]
            shown = fit & (values >= 0) & (rows >= 0)
            buckets = np.searchsorted(instrument.buckets, values)
            places = zip(rows.tolist(), buckets.tolist(), strict=True)
            newest_of = {place: number for number, place in enumerate(places) if shown[number]}
            for (row, bucket), number in sorted(newest_of.items(), key=itemgetter(1)):
                request_id, trace_id, end = requests[number]
                exemplar = Exemplar(request_id, trace_id, float(values[number]), end)
                found.append(PlacedExemplar(instrument, row, bucket, exemplar))
        return found


def _none(kind: Kind) -> LabelValues | None:
    return ()


def _fixed(*values: str) -> ExtraLabels:
    return lambda kind: values


def _modality(kind: Kind) -> str:
    return v.MODALITIES.get(kind.operation, "text")


def _if_filtered(kind: Kind) -> LabelValues | None:
    signs = {kind.error_type.lower(), kind.finish_reason.lower()}
    return () if signs & v.CONTENT_FILTER_SIGNS else None


def _is_short(request_id: str, trace_id: str) -> bool:
    return len("request_id") + len(request_id) + len("trace_id") + len(trace_id) <= LONGEST_EXEMPLAR
