"""WebSockets: bytes both ways, untouched, while a copy of the upstream's is looked into."""

import asyncio
from collections.abc import Iterator

from exporter.sources.proxy.errors import UpstreamError
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.upstream import Connection
from exporter.sources.proxy.watch import Watch

LONGEST_MESSAGE = 1 << 20
"""Bytes of a message that is looked into; the usage comes in small ones, sound in large ones."""

TEXT, CONTINUATION = 1, 0


async def tunnel(request: Request, connection: Connection, watch: Watch) -> None:
    """Carry bytes until one side ends.

    Args:
        watch: sees each text message of the upstream's, and the first one of the client's.

    Raises:
        asyncio.CancelledError: the client left first.
    """
    upward = asyncio.create_task(_pass_up(request, connection, watch))
    messages = Messages()
    try:
        while data := await connection.incoming.read():
            request.answer(data)
            for message in messages.feed(data):
                watch.message(message)
            await request.drain()
    except UpstreamError:
        return  # The client sees the same end.
    finally:
        upward.cancel()


async def _pass_up(request: Request, connection: Connection, watch: Watch) -> None:
    messages: Messages | None = Messages()
    try:
        while data := await request.read():
            connection.write(data)
            if messages and (opening := next(messages.feed(data), None)) is not None:
                messages = None
                watch.opening(opening)
            await connection.drain()
    except (UpstreamError, ConnectionError):
        return  # Who reads the answers learns of it too.


class Messages:
    """The text messages in a stream of frames (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._message = bytearray()
        self._is_text = False
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that end in these bytes."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._data += data
        while (frame := self._frame()) is not None:
            is_last, opcode, payload = frame
            if opcode == TEXT:
                self._message, self._is_text = bytearray(payload), True
            elif opcode == CONTINUATION and self._is_text:
                if len(self._message) <= LONGEST_MESSAGE:
                    self._message += payload
            elif opcode < 8:
                self._is_text = False
            if is_last and opcode < 8 and self._is_text:
                self._is_text = False
                yield bytes(self._message)

    def _frame(self) -> tuple[bool, int, bytes] | None:
        """Whether it ends its message, its opcode and its payload; None if it is not whole yet."""
        data = self._data
        if len(data) < 2:
            return None
        size, begin = data[1] & 0x7F, 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            if len(data) < begin:
                return None
            size = int.from_bytes(data[2:begin], "big")
        is_last, opcode, is_masked = bool(data[0] & 0x80), data[0] & 0x0F, data[1] & 0x80
        if is_masked:
            begin += 4
        if size > LONGEST_MESSAGE:
            self._skip = max(0, begin + size - len(data))
            del data[: begin + size]
            return is_last, opcode, b""
        if len(data) < begin + size:
            return None
        payload = bytes(data[begin : begin + size])
        if is_masked:
            payload = _unmasked(payload, bytes(data[begin - 4 : begin]))
        del data[: begin + size]
        return is_last, opcode, payload


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """What a client has masked (section 5.3); as one number, for byte by byte takes far longer."""
    size = len(payload)
    whole_mask = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(whole_mask)).to_bytes(size)
