"""A message as it comes in: its headers, and its body part by part."""

import asyncio
from typing import Protocol

import msgspec

from exporter.sources.proxy.headers import Header
from exporter.sources.proxy.known import KnownHead

MOST_BUFFERED = 1 << 18
"""Bytes of a body that wait for a slow receiver; then nothing more is read of its sender."""


class Sender(Protocol):
    """Whoever sends a message."""

    loop: asyncio.AbstractEventLoop

    def pause_reading(self) -> None:
        """Its parts are not taken as fast as they come."""

    def resume_reading(self) -> None:
        """Its parts are taken: more of them may come."""


class Receiver(Protocol):
    """Whoever takes a body as it comes."""

    def take(self, part: bytes) -> bool:
        """Take a part; whether there is room for another one."""

    def take_chunk(self, chunk: bytes) -> bool:
        """Take a part that came as this chunk and nothing else; False if it is to be parsed."""


class Message(msgspec.Struct, eq=False):
    """A request or an answer.

    Attributes:
        headers: lower-case name, name and value of each, as they came; where a known head
            came again, Content-Length is that of before.
        found: values by lower-case name; several of one name are joined, as RFC 9110 allows.
        known: its head, if that came before or may come again.
        has_head: all headers are there.
        is_whole: the body is there; what was not read yet is still to be had.
        buffered: bytes of the body that were not read yet.
        receiver: who takes the parts of the body the moment that they come, if anybody does.
        error: why nothing more will come.
    """

    sender: Sender
    headers: list[Header] = []
    found: dict[bytes, bytes] = {}
    known: KnownHead | None = None
    has_head: bool = False
    is_whole: bool = False
    buffered: int = 0
    receiver: Receiver | None = None
    error: Exception | None = None
    _parts: list[bytes] = []
    _failure: Exception | None = None
    _waiter: asyncio.Future[None] | None = None

    # What its receiver asks for.

    async def read(self) -> bytes:
        """The next part of the body, without its framing; b"" at its end.

        Raises:
            Exception: it ended before it was whole, or nothing came for too long.
        """
        while not self._parts:
            if self.is_whole:
                return b""
            await self.more()
        return self.take()

    async def pass_to(self, receiver: Receiver) -> bool:
        """Give a receiver the parts of the body the moment that they come.

        They come to it without a task in between: to wake one costs more than to pass a part on.

        Returns:
            Whether that was all: if not, the receiver has no more room.

        Raises:
            Exception: the body ended before it was whole, or nothing came for too long.
        """
        self.receiver = receiver
        try:
            if self._parts:
                self.add(self.take())
            while self._is_received() and not self.is_whole:
                await self.more()
        finally:
            self.receiver = None
        if self._failure is not None:
            raise self._failure
        return self.is_whole and not self._parts

    def _is_received(self) -> bool:
        return self.receiver is not None

    def take(self) -> bytes:
        """What of the body is there already."""
        parts, self._parts = self._parts, []
        if self.buffered > MOST_BUFFERED:
            self.sender.resume_reading()
        self.buffered = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def more(self) -> asyncio.Future[None]:
        """Done once there is more to see.

        Raises:
            Exception: there won't be more.
        """
        if self.error is not None:
            raise self.error
        self._waiter = self.sender.loop.create_future()
        return self._waiter

    # What its sender's connection tells.

    def add(self, part: bytes) -> None:
        """More of the body is there; a sender that is faster than the receiver is held back."""
        if self.receiver is not None:
            try:
                if self.receiver.take(part):
                    return
            except Exception as error:
                self._failure = error  # The sender's connection calls this, and is not to blame.
            self.receiver = None
        else:
            self._parts.append(part)
            self.buffered += len(part)
            if self.buffered > MOST_BUFFERED:
                self.sender.pause_reading()
        self.wake()

    def fail(self, error: Exception) -> None:
        """Nothing more will come."""
        if self.error is None and not self.is_whole:
            self.error = error
        self.wake()

    def wake(self) -> None:
        """Let who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
