"""`ensure_stream_usage`: ask for the usage of a stream, and keep it from the client.

Servers that are asked for `stream_options.include_usage` send one more event at the end, with the
usage and without choices, and write `"usage": null` into all others. Without both of these the
client gets what it would have got unasked, byte for byte.
"""

import re

import msgspec

from exporter.sources.proxy.documents import NOT_JSON
from exporter.sources.proxy.event_stream import EVENT_END

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OPTIONS = msgspec.json.Decoder(dict[str, object] | None)
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')
_LONGEST_END = 4
LONGEST_HELD = 1 << 20
"""Bytes of an event that are held until it is whole; a longer one goes through as it is."""


class _Event(msgspec.Struct, gc=False):
    choices: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(_Event)


def asking_for_usage(body: bytes) -> bytes | None:
    """The request with the option added; None where it needs none, or is no such request."""
    try:
        request = _OBJECT.decode(body)
        if bytes(request.get("stream", b"")) != b"true":
            return None
        options = _OPTIONS.decode(request.get("stream_options", b"null")) or {}
    except NOT_JSON:
        return None
    if options.get("include_usage"):
        return None
    request["stream_options"] = msgspec.Raw(msgspec.json.encode({**options, "include_usage": True}))
    return msgspec.json.encode(request)


class UsageRemover:
    """Takes the parts of an event stream, and gives what the client is to see of them."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The events that are whole now, without what was not asked for."""
        looked_at = max(0, len(self._held) - _LONGEST_END)  # An end may be cut in two.
        self._held += data
        kept = []
        start = 0
        for end in EVENT_END.finditer(self._held, looked_at):
            kept.append(_unasked(self._held[start : end.end()]))
            start = end.end()
        self._held = self._held[start:]
        if len(self._held) > LONGEST_HELD:
            kept.append(self.end())
        return b"".join(kept)

    def end(self) -> bytes:
        """What is left of an event that is not whole."""
        held, self._held = self._held, b""
        return held


def _unasked(event: bytes) -> bytes:
    """An event as it would be without the option; b"" where it would not be at all."""
    if event.find(b'"usage"') < 0:  # `in` raises an error first, to look for a number.
        return event
    prefix, mark, data = event.partition(b"data:")
    if not mark:
        return event
    try:
        read = _EVENT.decode(data)
    except NOT_JSON:
        return event
    if not read.usage:
        return event
    if bytes(read.usage) != b"null":
        return b"" if read.choices == [] else event
    for found in _NULL_USAGE.finditer(data):
        changed = data[: found.start()] + data[found.end() :]
        # Only the one at the top: an object within the event may have a `usage` of its own.
        if _same_but_for_usage(data, changed):
            return prefix + mark + changed
    return event


def _same_but_for_usage(data: bytes, changed: bytes) -> bool:
    try:
        before, after = _OBJECT.decode(data), _OBJECT.decode(changed)
    except NOT_JSON:
        return False
    del before["usage"]
    return {name: bytes(raw) for name, raw in before.items()} == {
        name: bytes(raw) for name, raw in after.items()
    }
