"""Sums of a batch by kind: a few numpy calls for each block of lines, whatever its size.

An amount is a sum that feeds a counter, a distribution is values that feed a histogram. Both have
numbers here; `exporter/accounting.py` knows the series that they go to. What is below zero adds
nothing: a counter never goes down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter import vocabulary as v
from exporter.record import (
    CACHE_HIT,
    SUCCEEDED,
    TOKEN_COLUMNS,
    UNIT_COLUMNS,
    USES_TOKENS,
    Batch,
    Columns,
    Indices,
    Numbers,
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values of a batch that feed a histogram, NaN where a record has none."""

    instrument: v.Instrument
    values: Callable[[Columns], Numbers]


def _time_per_output_token(numbers: Columns) -> Numbers:
    """(latency - TTFT) / (output - 1), once a request, for answers of two tokens or more."""
    gaps = np.where(numbers.output_tokens > 1, numbers.output_tokens - 1, np.nan)
    return (numbers.latency - numbers.time_to_first_token) / gaps


def _overhead(numbers: Columns) -> Numbers:
    """What the gateway took itself; clocks of a millisecond's resolution can make it negative."""
    return np.maximum(numbers.latency - numbers.upstream_time, 0.0)


DISTRIBUTIONS = (
    Distribution(v.REQUEST_DURATION, lambda numbers: numbers.latency),
    Distribution(v.TIME_TO_FIRST_TOKEN, lambda numbers: numbers.time_to_first_token),
    Distribution(v.TIME_PER_OUTPUT_TOKEN, _time_per_output_token),
    Distribution(v.TOKEN_USAGE, lambda numbers: numbers.input_tokens),
    Distribution(v.TOKEN_USAGE, lambda numbers: numbers.output_tokens),
    Distribution(v.OVERHEAD, _overhead),
)
DURATION, FIRST_TOKEN, OUTPUT_TOKEN, INPUT_USAGE, OUTPUT_USAGE, OVERHEAD = range(len(DISTRIBUTIONS))

REQUESTS, INPUT, OUTPUT, CACHED, CACHE_CREATION, REASONING, IMAGES, SECONDS, CHARACTERS = range(9)
WITHOUT_USAGE, COST_REPORTED, COST_ESTIMATED = range(9, 12)
AMOUNTS = 12
"""From `INPUT` to `CHARACTERS` they are the sums of token columns, then of unit columns."""


class Tally:
    """The sums since the last `clear`.

    Attributes:
        amounts: shape (kinds or more, AMOUNTS).
        distributions: for each of `DISTRIBUTIONS`, shape (kinds or more, buckets + 2): counts, of
            which the last is +Inf's, and the sum.
        records: how many were added.
    """

    def __init__(self, instruments: Sequence[v.Instrument]) -> None:
        buckets = {instrument.name: instrument.buckets for instrument in instruments}
        # Columns, so that comparing one with values gives each bound a row.
        self._bounds = [np.array([buckets[d.instrument.name]]).T for d in DISTRIBUTIONS]
        self.clear()

    def clear(self) -> None:
        """Start anew, at zero."""
        self.amounts = np.zeros((0, AMOUNTS))
        self.distributions = [np.zeros((0, len(bounds) + 2)) for bounds in self._bounds]
        self.records = 0

    def touched(self) -> Indices:
        """Numbers of the kinds that something was added to."""
        return np.flatnonzero(self.amounts[:, REQUESTS])

    def add(self, batch: Batch, estimate: Numbers | None = None) -> None:
        """Add a batch.

        Args:
            estimate: cost of each record by the price list, NaN where it has no price.
        """
        if not len(batch):
            return
        self._grow(len(batch.kinds))
        self.records += len(batch)
        kind, numbers = batch.kind, batch.numbers
        traits = batch.kinds.traits_of(kind)
        self._sum(REQUESTS, kind, None)
        succeeded = (traits & SUCCEEDED) != 0
        for amount, name in enumerate(TOKEN_COLUMNS, INPUT):
            self._sum(amount, kind, getattr(numbers, name))
        for amount, name in enumerate(UNIT_COLUMNS, IMAGES):
            self._sum(amount, kind, _only(succeeded, getattr(numbers, name)))
        uses_tokens = (traits & (SUCCEEDED | USES_TOKENS | CACHE_HIT)) == SUCCEEDED | USES_TOKENS
        has_usage = (numbers.input_tokens >= 0) | (numbers.output_tokens >= 0)
        self._sum(WITHOUT_USAGE, kind[uses_tokens & ~has_usage], None)
        is_reported = numbers.cost > 0
        self._sum(COST_REPORTED, kind, _only(is_reported, numbers.cost))
        if estimate is not None:
            self._sum(COST_ESTIMATED, kind, _only(~is_reported, estimate))
        for number, distribution in enumerate(DISTRIBUTIONS):
            self._distribute(number, kind, distribution.values(numbers))

    def _grow(self, kinds: int) -> None:
        """Make room, twice as much as there was: kinds that come one by one must cost little."""
        if kinds > len(self.amounts):
            kinds = max(kinds, 2 * len(self.amounts))
            self.amounts = _grown(self.amounts, kinds)
            self.distributions = [_grown(counts, kinds) for counts in self.distributions]

    def _sum(self, amount: int, kind: Indices, column: Numbers | None) -> None:
        """Add a column's known values to an amount; None adds one for each record."""
        if column is not None:
            known = column >= 0
            if not known.any():
                return
            kind, column = kind[known], column[known]
        sums = np.bincount(kind, column)
        self.amounts[: len(sums), amount] += sums

    def _distribute(self, number: int, kind: Indices, values: Numbers) -> None:
        known = values >= 0
        if not known.any():
            return
        kind, values = kind[known], values[known]
        counts = self.distributions[number]
        # Several times as fast as a search among the bounds, whose turns nobody can foresee.
        bucket = np.sum(values > self._bounds[number], axis=0, dtype=np.int16)
        cells = kind * counts.shape[1] + bucket
        np.add.at(counts.reshape(-1), cells, 1.0)
        sums = np.bincount(kind, values)
        counts[: len(sums), -1] += sums


def _only(mask: NDArray[np.bool_], column: Numbers) -> Numbers:
    """The column where the mask is set, NaN elsewhere."""
    return np.where(mask, column, np.nan)


def _grown(table: Numbers, rows: int) -> Numbers:
    """The table with rows of zeros at its end; the system gives their memory once they are used."""
    grown = np.zeros((rows, table.shape[1]))
    grown[: len(table)] = table
    return grown
