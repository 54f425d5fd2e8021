"""Server-sent events out of a stream of bytes: the WHATWG's rules, for the data of each event.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from collections.abc import Iterator

LONGEST_EVENT = 1 << 20
"""Bytes; a longer event is left out."""


class EventStream:
    """Takes bytes as they come, cut anywhere; gives each event's data once the event is whole."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []  # Of data, of the event that is not whole yet.
        self._size = 0
        self._rest: list[bytes] = []  # Pieces of a line that is not whole yet.
        self._rest_size = 0
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of the events that end in these bytes."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        if not lines:
            self._keep(rest)
            return
        lines[0] = self._rest_with(lines[0])
        for line in lines:
            if line:
                self._take(line)
            elif self._lines or self._size:
                yield from self._event()
        self._keep(rest)

    def end(self) -> Iterator[bytes]:
        """The data of an event that the stream left without its empty line."""
        if self._rest:
            self._take(self._rest_with(b""))
        yield from self._event()

    def _keep(self, rest: bytes) -> None:
        self._rest_size += len(rest)
        if rest and self._rest_size <= LONGEST_EVENT:
            self._rest.append(rest)

    def _rest_with(self, end: bytes) -> bytes:
        """The line that was not whole before."""
        line = b"".join([*self._rest, end]) if self._rest else end
        if self._rest_size > LONGEST_EVENT:
            self._size += self._rest_size  # Pieces are missing: leave the event out.
        self._rest.clear()
        self._rest_size = 0
        return line

    def _take(self, line: bytes) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"data:"):
            self._size += len(line)
            if self._size <= LONGEST_EVENT:
                self._lines.append(line[6:] if line[5:6] == b" " else line[5:])

    def _event(self) -> Iterator[bytes]:
        if self._lines and self._size <= LONGEST_EVENT:
            yield b"\n".join(self._lines)
        self._lines.clear()
        self._size = 0
