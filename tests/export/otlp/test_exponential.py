"""Explicit buckets told as exponential ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.export.otlp.exponential import FINEST_SCALE, MOST_BUCKETS, Exponential
from exporter.vocabulary import INSTRUMENTS, REQUEST_DURATION, TOKEN_USAGE

BOUNDS = st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=40, unique=True).map(sorted)


@st.composite
def bounds_and_counts(draw: st.DrawFn) -> tuple[list[float], list[list[int]]]:
    """Counts of a growing histogram at two moments."""
    bounds = draw(BOUNDS)
    counts = st.lists(st.integers(0, 10_000), min_size=len(bounds) + 1, max_size=len(bounds) + 1)
    before = draw(counts)
    more = draw(counts)
    return bounds, [before, [one + other for one, other in zip(before, more, strict=True)]]


@settings(deadline=None)
@given(bounds_and_counts())
def test_nothing_is_lost_and_no_bucket_of_a_growing_histogram_shrinks(
    drawn: tuple[list[float], list[list[int]]],
) -> None:
    bounds, counts = drawn
    zeros, spread = Exponential.of(bounds).counts(np.array(counts, np.float64))
    assert (zeros + spread.sum(axis=1)).tolist() == [sum(row) for row in counts]
    assert (np.diff(spread, axis=0) >= 0).all()
    assert spread.shape[1] <= MOST_BUCKETS + 1


@settings(deadline=None)
@given(bounds_and_counts())
def test_a_count_stays_within_its_bucket_but_for_rounding(
    drawn: tuple[list[float], list[list[int]]],
) -> None:
    bounds, counts = drawn
    told = Exponential.of(bounds)
    base = 2.0 ** (2.0**-told.scale)
    for bucket in range(1, len(bounds)):
        only = np.zeros((1, len(bounds) + 1))
        only[0, bucket] = counts[0][bucket]
        _, spread = told.counts(only)
        for place in np.flatnonzero(spread[0]).tolist():
            index = place + told.offset
            assert base ** (index + 1) >= bounds[bucket - 1] / 1.000001
            assert base**index <= bounds[bucket] * 1.000001


def test_the_shipped_histograms_are_told_finely_enough() -> None:
    scales = {each.name: Exponential.of(each.buckets).scale for each in INSTRUMENTS if each.buckets}
    assert scales[REQUEST_DURATION.name] == 3
    assert scales[TOKEN_USAGE.name] == 2
    assert min(scales.values()) >= 2
    assert max(scales.values()) <= FINEST_SCALE


def test_bounds_that_are_powers_of_two_are_kept_exactly() -> None:
    told = Exponential.of((1.0, 4.0, 16.0))
    _, spread = told.counts(np.array([[0.0, 64.0, 0.0, 0.0], [0.0, 0.0, 64.0, 0.0]]))
    base = 2.0 ** (2.0**-told.scale)
    ends = []
    for row in spread:
        places = np.flatnonzero(row) + told.offset
        ends.append((base ** float(places[0]), base ** float(places[-1] + 1)))
    assert ends == [pytest.approx((1.0, 4.0)), pytest.approx((4.0, 16.0))]


def test_values_beyond_the_last_bound_stand_right_above_it() -> None:
    told = Exponential.of((1.0, 2.0, 4.0))
    _, spread = told.counts(np.array([[0.0, 0.0, 0.0, 5.0]]))
    (place,) = np.flatnonzero(spread[0]).tolist()
    assert 2.0 ** ((place + told.offset) * 2.0**-told.scale) == 4.0


def test_a_single_bound_is_told_too() -> None:
    zeros, spread = Exponential.of((1.0,)).counts(np.array([[3.0, 4.0]]))
    assert (zeros.tolist(), spread.sum()) == ([3], 4)
