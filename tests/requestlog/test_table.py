"""Columns as people read them."""

import numpy as np

from exporter.requestlog.table import timestamps


def test_times_are_equally_long_at_whole_seconds_too() -> None:
    microseconds = np.array([0, 1_500_000, 1_795_824_000_000_001], np.int64)
    assert timestamps(microseconds) == [
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:01.500000Z",
        "2026-11-28T00:00:00.000001Z",
    ]
