"""Explicit buckets told as base-2 exponential ones.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram. An exponential
histogram is as exact as the explicit buckets that it is made of: the counts of a bucket are spread
evenly over the exponential ones that it covers, its bounds rounded to theirs. Of a count that only
grows each part only grows, so that cumulative histograms never seem to be reset.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.record import Numbers

MOST_BUCKETS = 160
"""Exponential buckets of a histogram: as many as the SDKs of OpenTelemetry make by default."""

FINEST_SCALE = 5
"""2.2 % from bound to bound; explicit buckets are never that narrow."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Exponential:
    """How the buckets of one histogram are told.

    Attributes:
        scale, offset: as in the data model.
        zero_threshold: the first bound; what is no larger counts as zero.
    """

    scale: int
    offset: int
    zero_threshold: float
    _first: Counts
    _parts: Counts

    @classmethod
    def of(cls, bounds: Sequence[float]) -> "Exponential":
        """For a histogram with these upper bounds, in increasing order and positive."""
        scale = FINEST_SCALE
        while _index(bounds[-1], scale) + 1 - _index(bounds[0], scale) > MOST_BUCKETS:
            scale -= 1
        last = np.array([_index(bound, scale) for bound in bounds], np.int64)
        # Of bounds that fall into one exponential bucket the later explicit bucket shares it.
        first = np.minimum(last[:-1] + 1, last[1:])
        offset = int(first[0]) if len(first) else int(last[-1]) + 1
        # What is beyond the last bound stands in the bucket that begins there.
        first = np.append(first, last[-1] + 1)
        parts = np.append(last[1:], last[-1] + 1) - first + 1
        return cls(scale, offset, bounds[0], first - offset, parts)

    def counts(self, explicit: Numbers) -> tuple[Counts, Counts]:
        """Zero counts and counts of the exponential buckets.

        Args:
            explicit: counts of the explicit buckets, shape (series, buckets + 1).

        Returns:
            Shapes (series,) and (series, exponential buckets).
        """
        whole = explicit.astype(np.int64)
        counts = whole[:, 1:]
        width = int(self._first[-1] + self._parts[-1])
        spread = np.zeros((len(whole), width), np.int64)
        for bucket, (first, parts) in enumerate(
            zip(self._first.tolist(), self._parts.tolist(), strict=True)
        ):
            each, rest = np.divmod(counts[:, bucket], parts)
            spread[:, first : first + parts] += each[:, np.newaxis]
            spread[:, first : first + parts] += np.arange(parts) < rest[:, np.newaxis]
        return whole[:, 0], spread


def _index(value: float, scale: int) -> int:
    """Of the exponential bucket, upper bound included, that holds a value."""
    mantissa, exponent = math.frexp(value)
    if mantissa == 0.5:  # A power of two lies on a bound, and logarithms would round it to a side.
        exact = (exponent - 1) * 2.0**scale
        return math.ceil(exact) - 1
    return math.ceil(math.log2(value) * 2.0**scale) - 1
