"""Events that tell nothing new: most of a stream's are like one before, but for their text.

What a text is does not matter, once there was one. So events whose bytes are those of one that told
nothing new are passed over, whatever their text: that takes a third of the time in which they are
parted, parsed and taken in.
"""

import copy
import re
from collections.abc import Sequence

import msgspec

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


class KnownEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that has told nothing new.

    Attributes:
        begin: its bytes up to its text, from the end of the event before.
        end: its bytes from there on, the empty line included.
    """

    begin: bytes
    end: bytes

    def last(self, data: bytes, end: int) -> int:
        """Where the last one of it ends, if others with any texts follow at once.

        Args:
            end: where it has ended itself.
        """
        between = self.end + self.begin
        last = text_end = end - len(self.end)
        while data.startswith(between, text_end) and (
            text := _TEXT.match(data, text_end + len(between))
        ):
            last, text_end = text_end, text.end()
        if data.startswith(self.end, text_end):
            last = text_end
        last += len(self.end)
        return last if _is_utf8(data[end:last]) else end


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


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
