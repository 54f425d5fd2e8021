"""What no proxy in Python can be cheaper than: bytes from one connection to another, unread."""

import asyncio
import sys
from typing import cast

import uvloop


class Relay(asyncio.Protocol):
    """One end of a connection; what comes at it is written to the other end."""

    def __init__(self, other: "Relay | None" = None) -> None:
        self._other = other
        self._waiting: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def meet(self, other: "Relay") -> None:
        """Write to the other end from now on, and what came before."""
        self._other = other
        for data in self._waiting:
            other.write(data)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._waiting.append(data)
        else:
            self._other.write(data)

    def write(self, data: bytes) -> None:
        """Send, unless the connection has ended."""
        if self._transport is not None:
            self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._other is not None and self._other._transport is not None:
            self._other._transport.close()


class Client(Relay):
    """A client's end; the upstream's is made for it."""

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self._upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._meeting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, end = await loop.create_connection(lambda: Relay(self), "127.0.0.1", self._upstream)
        self.meet(end)


async def _serve(port: int, upstream: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(upstream), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:])))
