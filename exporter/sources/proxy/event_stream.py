"""Server-sent events out of a stream of bytes: the WHATWG's rules, for the data of each event.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re

EVENT_STREAM = b"text/event-stream"
"""Its media type."""

LONGEST_EVENT = 1 << 20
"""Bytes; a longer event is left out."""

EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
"""The end of an event, where all lines end alike."""


def end_of_event(data: bytes, start: int) -> int:
    """Where the first event ends that does; else where the data does."""
    end = EVENT_END.search(data, start)
    return end.end() if end else len(data)


class EventStream:
    """Takes bytes as they come, cut anywhere; gives each event's data once the event is whole."""

    def __init__(self) -> None:
        self._data: list[bytes] = []  # Of the event that is not whole yet.
        self._size = 0
        self._rest: list[bytes] = []  # Pieces of a line that is not whole yet.
        self._rest_size = 0
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that end in these bytes."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if data.find(b"\r") >= 0:  # `in` raises an error first, to look for a number.
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._rest_size:
            lines[0] = self._rest_with(lines[0])
        events = self._take(lines)
        if rest:
            self._keep(rest)
        return events

    def end(self) -> list[bytes]:
        """The data of an event that the stream left without its empty line."""
        return self._take([self._rest_with(b""), b""])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        events: list[bytes] = []
        data, size = self._data, self._size
        for line in lines:
            if not line:
                if data and size <= LONGEST_EVENT:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data, size = [], 0
            elif line.startswith(b"data:"):
                size += len(line)
                if size <= LONGEST_EVENT:
                    data.append(line[6:] if line[5:6] == b" " else line[5:])
        self._data, self._size = data, size
        return events

    def _keep(self, rest: bytes) -> None:
        self._rest_size += len(rest)
        if self._rest_size <= LONGEST_EVENT:
            self._rest.append(rest)

    def _rest_with(self, end: bytes) -> bytes:
        """The line that was not whole before."""
        line = b"".join([*self._rest, end])
        if self._rest_size > LONGEST_EVENT:
            self._size += self._rest_size  # Pieces are missing: leave the event out.
        self._rest.clear()
        self._rest_size = 0
        return line
