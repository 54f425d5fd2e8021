"""Event streams: the same events wherever the bytes are cut, and whatever ends the lines."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.proxy.event_stream import LONGEST_EVENT, EventStream

STREAM = (
    b"\xef\xbb\xbf: a comment\n"
    b"\n"
    b"event: message_start\n"
    b'data: {"a": 1}\n'
    b"id: 7\n"
    b"\n"
    b"data:no space\n"
    b"\n"
    b": ping\n\n"
    b"data: two\n"
    b"data:  lines\n"
    b"retry: 10\n"
    b"\n\n\n"
    b"data\n"
    b"data: [DONE]\n"
    b"\n"
)
EVENTS = [b'{"a": 1}', b"no space", b"two\n lines", b"[DONE]"]


def events(parts: Sequence[bytes]) -> list[bytes]:
    stream = EventStream()
    found = [event for part in parts for event in stream.feed(part)]
    return [*found, *stream.end()]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_cut_at_every_byte(ending: bytes) -> None:
    stream = STREAM.replace(b"\n", ending)
    assert events([stream]) == EVENTS
    assert events([bytes([byte]) for byte in stream]) == EVENTS
    for cut in range(len(stream)):
        assert events([stream[:cut], stream[cut:]]) == EVENTS


@given(
    st.lists(st.text(alphabet="ab:\n {}", min_size=1, max_size=12), max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_any_events_come_out_as_they_went_in(
    texts: list[str], ending: bytes, cuts: list[int]
) -> None:
    data = [text.encode() for text in texts]
    stream = b"".join(
        b"".join(b"data: " + line + ending for line in each.split(b"\n")) + ending for each in data
    )
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[a:b] for a, b in pairwise(places)]
    assert events(parts) == data


def test_an_event_without_its_empty_line_is_there_at_the_end_only() -> None:
    stream = EventStream()
    assert stream.feed(b"data: a\n\ndata: b") == [b"a"]
    assert stream.end() == [b"b"]


@pytest.mark.parametrize("size", [1, 4096, LONGEST_EVENT * 3])
def test_an_event_that_is_too_long_is_left_out_and_the_next_one_is_there(size: int) -> None:
    stream = b"data: " + b"x" * (LONGEST_EVENT + 10) + b"\n\ndata: next\n\n"
    if size == 1:
        stream = b"data: " + b"x" * 2000 + b"\n\n" + b"data: next\n\n"
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert events(parts)[-1:] == [b"next"]
    assert (len(events(parts)) == 1) is (size > 1)


def test_many_short_lines_of_one_event_are_bounded_too() -> None:
    stream = EventStream()
    for _ in range(2000):
        assert stream.feed(b"data: " + b"x" * 1000 + b"\n") == []
    assert sum(map(len, stream._data)) <= LONGEST_EVENT
    assert stream.feed(b"\ndata: next\n\n") == [b"next"]
