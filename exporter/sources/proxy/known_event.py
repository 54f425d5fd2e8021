"""Events that tell nothing new: most of a stream's are like one before, but for their text.

What a text is does not matter, once there was one. So events whose bytes are those of one that told
nothing new are passed over, whatever their text: that takes a third of the time in which they are
parted, parsed and taken in.
"""

import copy
import re
from collections.abc import Sequence

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

_OTHER = "some other text"
_QUOTED = msgspec.json.encode(_OTHER)


class KnownEvent:
    """An event that has told nothing new.

    Args:
        begin: its bytes up to its text, from the end of the event before.
        end: its bytes from there on, the empty line included.
    """

    __slots__ = ("_begin", "_between", "_end", "_end_of_chunk")

    def __init__(self, begin: bytes, end: bytes) -> None:
        self._begin, self._end = begin, end
        self._between = end + begin
        self._end_of_chunk = end + CHUNK_END

    def passed(self, data: bytes, start: int = 0) -> int:
        """Where the last one ends of those that follow each other from `start` on, whatever their
        texts; `start` if there is none."""
        if not data.startswith(self._begin, start):
            return start
        end, text_end = start, _end_of_text(data, start + len(self._begin))
        while data.startswith(self._between, text_end):
            end = text_end + len(self._end)
            text_end = _end_of_text(data, end + len(self._begin))
        if data.startswith(self._end, text_end):
            end = text_end + len(self._end)
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
        start = len(head)
        return (
            chunk.startswith(begin, start)
            and _TEXT.fullmatch(chunk, start + len(begin), size - len(end)) is not None
            and (chunk.isascii() or _is_utf8(chunk))
        )


def known_event(part: bytes, events: Sequence[bytes], findings: Findings) -> KnownEvent | None:
    """What a part of a stream is, if it is an event that is to be passed over from now on.

    Args:
        events: that it has ended.
        findings: into which they were taken.
    """
    document = _only(events)
    text = _text(document) if document else None
    if not isinstance(text, str) or part.find(_OTHER.encode()) >= 0:
        return None
    begin, _, end = part.partition(msgspec.json.encode(text))
    if begin.find(b"\\") >= 0 or end.find(b"\\") >= 0:
        return None
    # What is found there is the text, if another one in its place is.
    other = _only(EventStream().feed(begin + _QUOTED + end))
    if other is None or _text(other) != _OTHER or _tells(other, findings):
        return None
    return KnownEvent(begin + b'"', b'"' + end)


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


def _end_of_text(data: bytes, start: int) -> int:
    text = _TEXT.match(data, start)
    return text.end() if text else start


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
