"""One end of a connection: HTTP/1.1 by httptools, bounded in bytes, pace and time.

aiohttp takes 73 µs of a core for a small answer at its client's side and 28 at its server's; this
way of reading takes 9 and 10. Carrying messages is what a proxy does, so both sides of it are ours.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import inf
from typing import cast

import httptools

from exporter.sources.proxy.headers import Header, joined
from exporter.sources.proxy.known import known_head
from exporter.sources.proxy.message import Message

MOST_HEADERS = 128
"""Of one message."""

MOST_BYTES = 1 << 16
"""Of a message's headers together, of a target, and of anything else beside a body."""


Parser = httptools.HttpRequestParser | httptools.HttpResponseParser


class TooLongError(Exception):
    """A message has more beside its body than anybody needs."""


TOO_LONG = "too much beside the body"


class Peer(asyncio.Protocol, ABC):
    """A client's connection, or one to an upstream.

    Args:
        tick_s: how often the clock is looked at; a deadline is missed by as much at most.
    """

    _parser: Parser
    incoming: Message
    """What is being read."""

    _example: Message | None = None
    """A message whose head may come again."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = inf
        self._told: list[bytes] = []
        # A method of the list's: the parser would call one of ours through Python, for each part.
        self.on_body = self._told.append
        self._unseen_bytes = 0
        self._owed_bytes = 0
        self._heads_unlike = 0
        self._writable: asyncio.Future[None] | None = None
        self._reading_paused = False
        self.is_writing_paused = False

    @property
    def is_open(self) -> bool:
        """Whether something may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    # Writing.

    def write(self, data: bytes) -> None:
        """Send; nothing happens once the connection has ended."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other end takes more, or has left."""
        if self.is_writing_paused and self._transport is not None:
            self._writable = self.loop.create_future()
            await self._writable

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.resume_writing()

    def eof_received(self) -> None:
        """The transport closes itself, and `connection_lost` does the rest."""

    def pause_writing(self) -> None:
        self.is_writing_paused = True

    def resume_writing(self) -> None:
        self.is_writing_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # Reading.

    def _read(self, data: bytes) -> None:
        """Have the parser read what came, and bear what is wrong with it."""
        # httptools keeps what it has not told yet: a header may go on for ever.
        self._unseen_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._take_told()
            self._broken(_reason(error))
        else:
            if self._told:
                self._take_told()
            if self._unseen_bytes > MOST_BYTES:
                self._broken(TOO_LONG)

    def _take_told(self, *, is_whole: bool = False) -> None:
        """Take the parts of the body that the parser has told, and whether that was all."""
        message, parts = self.incoming, self._told
        was_whole = message.is_whole
        if is_whole:
            message.is_whole = True  # Beforehand: the receiver may end with the last part.
        if parts:
            self._unseen_bytes = 0
            if not was_whole:
                message.add(parts[0] if len(parts) == 1 else b"".join(parts))
            parts.clear()

    @abstractmethod
    def _take_after_upgrade(self, rest: bytes) -> None:
        """The parser stands behind a head that speaks of another protocol, before what is left."""

    @abstractmethod
    def _broken(self, reason: str) -> None:
        """Nothing more of what comes can be understood."""

    def pause_reading(self) -> None:
        """The parts of what is being read are not taken as fast as they come."""
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The parts of what is being read were taken."""
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def on_header(self, name: bytes, value: bytes) -> None:
        message = self.incoming
        if message.has_head:
            return  # It is a trailer, which is not passed on.
        key, found = name.lower(), message.found
        message.headers.append((key, name, value))
        if key in found:
            if len(message.headers) > MOST_HEADERS:
                raise TooLongError  # Before they are joined to something very long.
            value = joined(found[key], value)
        found[key] = value

    def _take_head(self) -> None:
        """See that all headers are there.

        Raises:
            TooLongError: they are more than anybody needs.
        """
        message = self.incoming
        if len(message.headers) > MOST_HEADERS:
            raise TooLongError
        # What is unseen may have come with a part of the body.
        if self._unseen_bytes > MOST_BYTES and _size(message.headers) > MOST_BYTES:
            raise TooLongError
        self._unseen_bytes = 0
        message.has_head = True
        message.wake()

    def on_message_complete(self) -> None:
        self._take_told(is_whole=self._is_whole_now())
        self._unseen_bytes = 0

    @abstractmethod
    def _is_whole_now(self) -> bool:
        """Whether what is being read has come to its end, as the parser says that it has."""

    # Heads that come again.

    def _take_begin(self, data: bytes, *, may_be_known: bool) -> None:
        """Take the begin of a message, where the parser stands between two."""
        known = self._example.known if may_be_known and self._example else None
        parted = known.parted(data) if known else None
        if parted is None:
            self._read(data)
            self._example = self.incoming if self._learn(data) else None
        else:
            self._follow_example()
            if rest := self._begin_known(*parted):
                self._read(rest)

    @abstractmethod
    def _follow_example(self) -> None:
        """Let what is being read from now on have the start line of the example."""

    def _learn(self, data: bytes) -> bool:
        """Whether the message that has just begun has a head to be known again.

        Where each head differs, one is looked at ever more rarely.

        Args:
            data: all that came of it, and nothing else.
        """
        unlike = self._heads_unlike = self._heads_unlike + 1
        if unlike & (unlike - 1):
            return False
        message = self.incoming
        if not message.has_head or (message.is_whole and not message.buffered):
            return False  # That it tells a length does not say that it has a body.
        message.known = known_head(message.found, data, message.buffered)
        return message.known is not None

    def _begin_known(self, digits: bytes, body: bytes) -> bytes:
        """What is being read has the headers of the example, but for its length.

        Returns:
            What is left behind its body.
        """
        self._heads_unlike = self._unseen_bytes = 0
        message, example = self.incoming, cast(Message, self._example)
        message.headers, message.known = example.headers, example.known
        message.found = {**example.found, b"content-length": digits}
        message.has_head = True
        message.wake()
        length = int(digits)
        if length == len(body):
            message.add(body)
            message.is_whole = True
            return b""
        self._owed_bytes = length
        return self._take_owed(body)

    def _take_owed(self, data: bytes) -> bytes:
        """Take more of a body that the parser does not see; what is left behind it."""
        part, rest = data, b""
        if len(data) > self._owed_bytes:
            part, rest = data[: self._owed_bytes], data[self._owed_bytes :]
        self._owed_bytes -= len(part)
        if part:
            self.incoming.add(part)
        self.incoming.is_whole = not self._owed_bytes
        return rest

    # Time.

    def _expect(self, within_s: float) -> None:
        """Something must come within this time; a new expectation takes the place of the last one.

        A timer for each would cost as much as parsing a message: one ticks for all.
        """
        self._deadline = self.loop.time() + within_s
        if self._timer is None:
            self._timer = self.loop.call_later(min(within_s, self._tick_s), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        if now < self._deadline:
            again = min(self._deadline, now + self._tick_s)
            self._timer = self.loop.call_at(again, self._look)
        else:
            self._too_late()

    @abstractmethod
    def _too_late(self) -> None:
        """What was expected has not come."""


def _reason(error: httptools.HttpParserError) -> str:
    """Why what came cannot be understood; the parser's own words quote it.

    Raises:
        Exception: it is not what came, but we.
    """
    if not isinstance(error, httptools.HttpParserCallbackError):
        return "not HTTP"
    if isinstance(error.__context__, TooLongError):
        return TOO_LONG
    raise error.__context__ or error from None


def _size(headers: Iterable[Header]) -> int:
    return sum(len(value) for _, _, value in headers)
