"""Connections without sockets: a test hands over what comes, and sees what is written."""

import asyncio
from typing import Any

TURNS = 8
"""Of the loop, after which all that can happen has happened."""


class Wire(asyncio.Transport):
    """A connection that goes nowhere."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.is_closed = False
        self.is_paused = False
        self.written: list[bytes] = []
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._protocol.connection_lost(None)

    abort = close


class Taking:
    """Takes the parts of a body, none of them as a chunk.

    Args:
        got: to which they are added.
    """

    def __init__(self, got: list[bytes], *, has_room: bool = True) -> None:
        self._got = got
        self._has_room = has_room

    def take(self, part: bytes) -> bool:
        self._got.append(part)
        return self._has_room

    def take_chunk(self, chunk: bytes) -> bool:
        return False


async def turns(number: int = TURNS) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
