"""Durations and sizes as people write them."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.quantities import Duration, Size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("250ms", 0.25), ("15s", 15.0), ("1.5s", 1.5), ("1h30m", 5400.0), ("14d", 1_209_600.0)],
        *[("2w", 1_209_600.0), ("90m", 5400.0), ("0s", 0.0), ("1d12h", 129_600.0)],
    ],
)
def test_a_duration_is_its_seconds(text: str, seconds: float) -> None:
    assert Duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("1MB", 10**6),
        ("1MiB", 2**20),
        ("20GiB", 20 * 2**30),
        ("1.5KiB", 1536),
        ("0B", 0),
    ],
)
def test_a_size_is_its_bytes(text: str, size: int) -> None:
    assert Size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-1s", "1 s", "30m1h", "1s1s", "1S", "٣s", "1s\n", "9" * 400 + "s", "1e3s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'such as "250ms", "15s", "1h30m", "14d"$'):
        Duration(text)


@pytest.mark.parametrize("text", ["", "5", "MB", "-1MB", "1 MB", "1mb", "1Gi", "9" * 400 + "TB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'such as "1MiB", "20GiB", "1MB"$'):
        Size(text)


@given(st.integers(0, 10**12))
def test_a_duration_can_be_written_and_read_again(milliseconds: int) -> None:
    duration = Duration(milliseconds / 1000)
    assert Duration(str(duration)) == duration


@given(st.integers(0, 2**50))
def test_a_size_can_be_written_and_read_again(size: int) -> None:
    assert Size(str(Size(size))) == size


def test_quantities_are_written_in_their_largest_units() -> None:
    assert [str(Duration(seconds)) for seconds in (0, 0.25, 60, 5400, 1_209_600)] == [
        *["0s", "250ms", "1m", "1h30m", "14d"]
    ]
    assert [str(Size(size)) for size in (0, 7, 10**6, 2**20, 3 * 2**40)] == [
        *["0B", "7B", "1MB", "1MiB", "3TiB"]
    ]


def test_quantities_can_be_sent_to_another_process() -> None:
    sent = (Duration("15s"), Size("1MiB"))
    received = pickle.loads(pickle.dumps(sent))  # noqa: S301
    assert received == sent
    assert [type(quantity) for quantity in received] == [Duration, Size]
