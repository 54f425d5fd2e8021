"""Events that tell nothing new: most of a stream's are like one before, but for their text.

What a text is does not matter, once there was one; nor do values that nobody looks at, as OpenAI's
padding and the numbers of events. So events whose bytes are otherwise those of one that told
nothing new are passed over: that takes a third of the time in which they are parted, parsed and
taken in.
"""

import copy
import re
from collections.abc import Mapping, Sequence, Set

import msgspec

from exporter.sources.proxy.chunk import CHUNK_END, chunk_begin
from exporter.sources.proxy.documents import NOT_JSON, Delta, Document, decode_answer
from exporter.sources.proxy.event_stream import EventStream
from exporter.sources.proxy.findings import Findings

_TEXT = re.compile(
    rb"""(?x) [^"\\\x00-\x1f]*+ (?:
        \\ (?: ["\\/bfnrt] | u (?: [0-9a-cA-CefEF][0-9a-fA-F]{3} | [dD][0-7][0-9a-fA-F]{2} ) )
        [^"\\\x00-\x1f]*+
    )*+"""
)
"""What may stand in a string of JSON, if it is UTF-8; without halves of characters by number, as
these may be alone."""

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,15}+")

_VALUE = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"|[0-9]++)')
"""Strings and digits: all that may differ in events that are alike."""

_OTHER = "some other text"
_QUOTED = msgspec.json.encode(_OTHER)
_UNFIT = b"[]"
"""No value of anything that is looked at."""


class KnownEvent:
    """An event that has told nothing new.

    Args:
        pieces: its bytes from the end of the event before, but for its text and other values that
            may differ, the empty line included; at least two.
        values: patterns of what may stand between these.
    """

    __slots__ = ("_begin", "_between", "_end", "_end_of_chunk", "_first", "_last")

    def __init__(self, pieces: Sequence[bytes], values: Sequence[re.Pattern[bytes]]) -> None:
        self._begin, *inner, self._end = pieces
        *first, self._last = values
        self._first = tuple(zip(first, inner, strict=True))
        self._between = self._end + self._begin
        self._end_of_chunk = self._end + CHUNK_END

    def passed(self, data: bytes, start: int = 0) -> int:
        """Where the last one ends of those that follow each other from `start` on, whatever their
        values; `start` if there is none."""
        if not data.startswith(self._begin, start):
            return start
        end, value_end = start, self._last_value_end(data, start + len(self._begin))
        while data.startswith(self._between, value_end):
            end = value_end + len(self._end)
            value_end = self._last_value_end(data, end + len(self._begin))
        if data.startswith(self._end, value_end):
            end = value_end + len(self._end)
        return end if _is_utf8(data[start:end]) else start

    def is_in(self, chunk: bytes) -> bool:
        """Whether this is one chunk, written as we would write it, with nothing but one of these
        events.

        Most events of streams come by here: to ask `passed` would take half as long again.
        """
        size, begin, end = len(chunk), self._begin, self._end_of_chunk
        head = chunk_begin(size)
        if head is None or not chunk.startswith(head) or not chunk.endswith(end):
            return False
        place = len(head)
        if not chunk.startswith(begin, place):
            return False
        place += len(begin)
        if self._first:
            place = self._last_value(chunk, place)
        return self._last.fullmatch(chunk, place, size - len(end)) is not None and (
            chunk.isascii() or _is_utf8(chunk)
        )

    def _last_value(self, data: bytes, place: int) -> int:
        """Where the last value begins, if the first one does here; else the end of the data."""
        for value, piece in self._first:
            place = _end_of(value, data, place)
            if not data.startswith(piece, place):
                return len(data)
            place += len(piece)
        return place

    def _last_value_end(self, data: bytes, place: int) -> int:
        if self._first:
            place = self._last_value(data, place)
        return _end_of(self._last, data, place)


def known_event(
    part: bytes, events: Sequence[bytes], findings: Findings, following: bytes = b""
) -> KnownEvent | None:
    """What a part of a stream is, if it is an event that is to be passed over from now on.

    Args:
        events: that it has ended.
        findings: into which they were taken.
        following: the event behind it, if that is there: values that differ in it may always
            differ, if nobody looks at them.
    """
    document = _only(events)
    text = _text(document) if document else None
    if not isinstance(text, str) or part.find(_OTHER.encode()) >= 0:
        return None
    quoted = msgspec.json.encode(text)
    parts = part.partition(quoted)
    if following and not (following.startswith(parts[0]) and following.endswith(parts[2])):
        values = _VALUE.split(part)  # They are at odd places.
        place = values.index(quoted) if quoted in values else 0
        others = _differing(values, _VALUE.split(following)) - {place}
        # What is unfit for all that is looked at changes nothing where nobody looks.
        if place and others and _only_of(values, dict.fromkeys(others, _UNFIT)) == document:
            return _known(values, place, others, findings)
    return _known(parts, 1, set(), findings)


def _known(
    parts: Sequence[bytes], text: int, others: Set[int], findings: Findings
) -> KnownEvent | None:
    """An event, if it tells nothing new.

    Args:
        parts: of it; those at the places `text` and `others` may differ.
    """
    # What is found there is the text, if another one in its place is.
    sample = _only_of(parts, {text: _QUOTED, **dict.fromkeys(others, _UNFIT)})
    if sample is None or _text(sample) != _OTHER or _tells(sample, findings):
        return None
    places = sorted({text, *others})
    starts, ends = [0, *(place + 1 for place in places)], [*places, len(parts)]
    pieces = [b"".join(parts[start:end]) for start, end in zip(starts, ends, strict=True)]
    if any(piece.find(b"\\") >= 0 for piece in pieces):
        return None
    values = []
    for number, place in enumerate(places):
        is_text = parts[place].startswith(b'"')
        values.append(_TEXT if is_text else _NUMBER)
        if is_text:
            pieces[number] += b'"'
            pieces[number + 1] = b'"' + pieces[number + 1]
    return KnownEvent(pieces, values)


def _differing(parts: Sequence[bytes], others: Sequence[bytes]) -> set[int]:
    """The places of values that are others in another event, if all else in it is the same."""
    if parts[::2] == others[::2]:
        return {place for place, part in enumerate(parts) if part != others[place]}
    return set()


def _only_of(parts: Sequence[bytes], replaced: Mapping[int, bytes]) -> Document | None:
    """The document of an event with other values in some places."""
    changed = [replaced.get(place, part) for place, part in enumerate(parts)]
    return _only(EventStream().feed(b"".join(changed)))


def _text(document: Document) -> object:
    """What an event adds to the only answer, or to the first of several."""
    delta = document.delta
    if document.choices:
        choice = document.choices[0]
        delta = choice.text or choice.delta
    return delta.output if isinstance(delta, Delta) else delta


def _only(events: Sequence[bytes]) -> Document | None:
    try:
        return decode_answer(events[0]) if len(events) == 1 else None
    except NOT_JSON:
        return None


def _tells(document: Document, findings: Findings) -> bool:
    """Whether something would be known that is not yet."""
    then = copy.copy(findings)
    then.take(document)
    return msgspec.structs.astuple(then) != msgspec.structs.astuple(findings)


def _end_of(value: re.Pattern[bytes], data: bytes, place: int) -> int:
    """Where a value ends that begins here; the end of the data, where there is none."""
    found = value.match(data, place)
    return found.end() if found else len(data)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
