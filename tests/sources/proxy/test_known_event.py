"""Events that tell nothing new: what is passed over would not have changed the record."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.record import Record
from exporter.sources.proxy.apis import Asked, api_of
from exporter.sources.proxy.chunk import CHUNK
from exporter.sources.proxy.documents import decode_answer
from exporter.sources.proxy.event_stream import EventStream
from exporter.sources.proxy.findings import Findings
from exporter.sources.proxy.known_event import KnownEvent, known_event
from exporter.sources.proxy.observation import FEW, Caller, Observation

CHAT = b'data: {"model":"m","choices":[{"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
PADDED = CHAT.replace(b"}]", b'}],"padding":"<s>"')
NUMBERED = (
    b"id: <n>\nevent: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","number":<n>,"delta":"%b","padding":"<s>"}\n\n'
)
SHAPES = [
    CHAT,
    CHAT.replace(b'"m"', b'"n"'),
    CHAT.replace(b"content", b"reasoning_content"),
    CHAT.replace(b'"m"', b'"%b"', 1).replace(b'"%b"}', b'"x"}'),
    CHAT.replace(b"null", b'"%b"').replace(b'"%b"}', b'"x"}', 1),
    CHAT.replace(b'"content"', b'"role":"a","content"'),
    CHAT.replace(b"}]", b'},{"delta":{"content":"x"}}]'),
    CHAT.replace(b'"content"', b'"content":"x","content"'),
    CHAT.replace(b'"%b"', b'"%b","content":"x"'),
    CHAT.replace(b"null}]", b'null}],"usage":{"prompt_tokens":1}'),
    CHAT.replace(b"null}]", b'"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3}'),
    CHAT.replace(b'"finish', b'"x":"\\u0061","finish'),
    CHAT.replace(b"\n", b"\r\n"),
    CHAT.replace(b"data: ", b"id: 1\ndata:"),
    b'data: {"choices":[{"text":"%b"}]}\n\n',
    b'event: x\ndata: {"type":"content_block_delta","delta":{"type":"a","text":"%b"}}\n\n',
    b'data: {"type":"response.output_text.delta","delta":"%b"}\n\n',
    b'data: {"type":"error","error":{"type":"%b"}}\n\n',
    b'data: {"usage":{"prompt_tokens":4,"prompt_tokens_details":{"cached_tokens":1}}}\n\n',
    b": %b\n\n",
    b"data: [DONE]\n\n",
    b"\n",
    PADDED,
    NUMBERED,
    PADDED.replace(b'"m"', b'"<s>"'),
    PADDED.replace(b'"content"', b'"reasoning":"<s>","content"'),
    PADDED.replace(b'"padding"', b'"code"'),
    PADDED.replace(b'"padding"', b'"type"'),
    PADDED.replace(b'"padding"', b'"<s>"'),
    PADDED.replace(b"null", b'"<s>"'),
    PADDED.replace(b'"padding"', b'"x":[{"y":<n>}],"usage":{"prompt_tokens":<n>},"padding"'),
]
TEXTS = [
    *(b"hi", b" you", b"a", b"m", b"content", b"x", b"", b",", b":", b"\\n", b'\\"', b"\\\\"),
    *("äé".encode(), "词".encode(), "\U0001f600".encode(), b"\\u00e4", b"\\ud83d\\ude00"),
    *(b"\\ud83d", b"\xff", b"\xc3", b"\xa4", b"\xed\xa0\x80", b"\xc0\xaf", b"\x01", b"\x7f"),
    *(b'"', b"\\", b"\\x", b"\n", b"\r", b'","x":"', b'"},"finish_reason":"length","x":{"y":"'),
    *(b"stop", b"overloaded", b"null", b"some other text"),
]


STRINGS = [b"a", b"b c", *TEXTS, b"response.completed", b"error", b"null"]
NUMBERS = [b"1", b"23", b"0", b"4567890", b"01", b"-1", b"1.5", b"1e3", b"9" * 17, b"", b"x"]
"""Of what stands in some shapes besides the text."""


def filled(shape: bytes, string: bytes = b"a", number: bytes = b"1") -> bytes:
    """The shape, a text apart."""
    return shape.replace(b"<s>", string).replace(b"<n>", number)


def observation(few: int) -> Observation:
    """Of a stream that has begun; of so many bytes it is tried to know them again."""
    caller = Caller("id", "", "openai", 1_790_000_000.0, ())
    asked = Asked(api_of("POST", "/v1/chat/completions"))
    seen = Observation(asked, caller, 1 << 20, _patience=few)
    seen.take_head(200, b"text/event-stream", b"")
    return seen


def observed(parts: Sequence[bytes], few: int = FEW) -> tuple[Record, int]:
    """The record of a stream, and how much of it could not be looked into."""
    seen = observation(few)
    with patch("exporter.sources.proxy.observation.FEW", few):
        for number, part in enumerate(parts, 1):
            seen.take_part(part, number / 10)
        return seen.end("whole", len(parts) + 1.0), seen.unparsed


def mostly_sound(values: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    return st.sampled_from(values[:2]) | st.sampled_from(values)


@st.composite
def runs(draw: st.DrawFn) -> list[bytes]:
    """Events, mostly several of one shape."""
    events: list[bytes] = []
    for shape in draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4)):
        for text in draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8)):
            values = draw(mostly_sound(STRINGS)), draw(mostly_sound(NUMBERS))
            events.append(filled(shape, *values).replace(b"%b", text))
    return events


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Mostly an event in each part, sometimes cut or joined."""
    events = draw(runs())
    if draw(st.sampled_from([True, True, False])):
        return events
    stream = b"".join(events)
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=6))
    return [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])]


def chat(*texts: bytes) -> list[bytes]:
    return [CHAT % text for text in texts]


def padded(shape: bytes, *values: tuple[bytes, bytes]) -> list[bytes]:
    """Events that differ in more than their texts."""
    return [filled(shape, *each) % (b"text %d" % number) for number, each in enumerate(values)]


BROKEN = [b"\xff", b"\\ud83d", b"\x01"]
LIKE = [(STRINGS[number % 2], NUMBERS[number % 4]) for number in range(8)]


@example([*chat(b"a", b"b", b"c"), SHAPES[1] % b"d", *chat(b"e", b"f")], 0)
@example([CHAT % text + b"data: 1\n" for text in (b"a", b"b", b"c")], 0)
@example([CHAT % text + b"data: 1" for text in (b"a", b"b", b"c")], 0)
@example(chat(b"a", b"b", BROKEN[0], b"c"), 0)
@example(chat(b"a", b"b", BROKEN[1], b"c"), 0)
@example(chat(b"a", b"b", BROKEN[2], b"c"), 0)
@example([SHAPES[4] % b"null", SHAPES[4] % b"null", SHAPES[4] % b"stop"], 0)
@example([*chat(b"a", b"b", b"c"), SHAPES[1] % b"d", *chat(b"e")], 100)
@example([*chat(b"a", b"b"), b"".join([*chat(b"c", b"d"), SHAPES[1] % b"e"]), *chat(b"f")], 100)
@example(padded(PADDED, *LIKE), 200)
@example(padded(NUMBERED, *LIKE), 200)
@given(streams(), st.sampled_from([0, 100, 200, 300, FEW]))
@settings(max_examples=300)
def test_a_record_is_the_same_whether_events_are_passed_over(parts: list[bytes], few: int) -> None:
    seen = observed(parts, few)
    with patch("exporter.sources.proxy.observation.known_event", return_value=None):
        assert seen == observed(parts, few)


@pytest.mark.parametrize(
    "shape",
    [
        CHAT,
        CHAT.replace(b"\n", b"\r\n"),
        CHAT.replace(b"data: ", b"id: 1\ndata:"),
        CHAT.replace(b"content", b"reasoning_content"),
        b'data: {"choices":[{"text":"%b"}]}\n\n',
        b'event: x\ndata: {"type":"content_block_delta","delta":{"type":"a","text":"%b"}}\n\n',
        b'data: {"type":"response.output_text.delta","delta":"%b"}\n\n',
    ],
)
def test_what_comes_again_with_another_text_is_not_parsed(shape: bytes) -> None:
    texts = [b"one", b" two", *TEXTS[:16] * 6]
    with patch("exporter.sources.proxy.observation.decode_answer", wraps=decode_answer) as decode:
        observed([shape % text for text in texts], 0)
    assert decode.call_count == 1


@pytest.mark.parametrize(
    ("shape", "is_known"),
    [
        (PADDED, True),
        (NUMBERED, True),
        (PADDED.replace(b"\n", b"\r\n"), True),
        (PADDED.replace(b'"m"', b'"<s>"'), False),
        (PADDED.replace(b'"content"', b'"reasoning":"<s>","content"'), False),
        (PADDED.replace(b'"padding"', b'"code"'), False),
        (PADDED.replace(b'"padding"', b'"type"'), False),
        (PADDED.replace(b'"padding"', b'"<s>"'), False),
        (PADDED.replace(b'"padding"', b'"usage":{"prompt_tokens":<n>},"padding"'), False),
    ],
)
def test_values_may_differ_that_nobody_looks_at(shape: bytes, is_known: bool) -> None:
    one, other, third = padded(shape, *LIKE[:3])
    found = known(one, other)
    assert (found is not None and found.passed(other + third) == len(other + third)) is is_known


@pytest.mark.parametrize(
    "values",
    [*((b"a", number) for number in NUMBERS[4:]), (b"\xff", b"1"), (b"\x01", b"1"), (b'"', b"1")],
)
def test_what_is_no_sound_value_is_not_passed_over(values: tuple[bytes, bytes]) -> None:
    one, other, odd = padded(NUMBERED, *LIKE[:2], values)
    found = known(one, other)
    assert found is not None
    assert found.passed(other) == len(other)
    assert found.passed(odd) == 0
    assert found.is_in(CHUNK % (len(other), other))
    assert not found.is_in(CHUNK % (len(odd), odd))


@pytest.mark.parametrize("piece", [b"event", b"type", b"number", b"padding", b"delta"])
def test_what_stands_between_values_must_be_the_same(piece: bytes) -> None:
    one, other, third = padded(NUMBERED, *LIKE[:3])
    found = known(one, other)
    assert found is not None
    assert found.is_in(CHUNK % (len(third), third))
    odd = third.replace(piece, piece.upper())
    assert found.passed(odd) == 0
    assert not found.is_in(CHUNK % (len(odd), odd))


def known(part: bytes, following: bytes = b"", **told: Any) -> KnownEvent | None:
    """What is known of a part of a stream that has told this before."""
    findings = Findings(has_output=True, model="m", **told)
    return known_event(part, EventStream().feed(part), findings, following)


@pytest.mark.parametrize(
    "text", [b"model", b":", b",", b"", b"m", b"some other text", b"some oth\\u0065r text"]
)
def test_an_event_is_not_known_where_the_place_of_its_text_is_not_plain(text: bytes) -> None:
    assert known(CHAT % b"plain") is not None
    assert known(CHAT % text) is None


def test_an_event_that_is_not_alone_or_not_whole_is_not_known() -> None:
    assert known(CHAT % b"a" + CHAT % b"b") is None
    assert known((CHAT % b"a")[:-1]) is None


def test_an_event_that_tells_more_is_not_known() -> None:
    stop = CHAT.replace(b"null", b'"stop"') % b"a"
    assert known(stop) is None
    assert known(stop, finish_reason="stop") is not None
