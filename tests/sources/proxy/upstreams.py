"""Fake upstreams: servers that do just what a test tells them to, byte for byte."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], limit_s: float = 20) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(limit_s)

    def close(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass
class Received:
    """A request as an upstream got it; names of headers in lower case, in order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Wire:
    """The upstream's end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():  # asyncio would pass over it, uvloop raises a RuntimeError.
            raise ConnectionResetError("the other side has gone")
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_chunks(self) -> None:
        await self.send(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection in the middle of whatever there is."""
        self.writer.close()

    async def left(self) -> bool:
        """Wait until the other side has gone."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


Answer = Callable[[Received, Wire], Awaitable[None]]


@dataclass
class Upstream:
    """Listens, keeps what it receives, and answers as `answer` does.

    Attributes:
        received: all requests, in order.
        connections: how many were ever made.
    """

    loop: Loop
    answer: Answer
    reads_bodies: bool = True
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    problems: list[BaseException] = field(default_factory=list)
    port: int = 0

    def start(self, ssl: Any = None) -> None:
        async def listen() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=ssl)

        self._server = self.loop.run(listen())
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        async def close() -> None:
            self._server.close()

        self.loop.run(close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read(reader, self.reads_bodies)) is not None:
                self.received.append(request)
                await self.answer(request, Wire(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:
            self.problems.append(error)
            raise
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, with_body: bool) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [line.partition(":") for line in lines]
    headers = [(name.lower(), value.strip()) for name, _, value in pairs]
    request = Received(method, target, headers)
    if not with_body:
        return request
    size = request.header("content-length")
    if size is not None:
        request.body = await reader.readexactly(int(size))
    elif request.header("transfer-encoding"):
        while length := int(await reader.readuntil(b"\n"), 16):
            request.body += await reader.readexactly(length)
            await reader.readline()
        await reader.readline()
    return request


def answering(
    body: bytes,
    status: str = "200 OK",
    content_type: str = "application/json",
    **headers: str,
) -> Answer:
    """Each request gets this; header names have _ for -."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{more}\r\n"
    )

    async def answer(_: Received, wire: Wire) -> None:
        await wire.send(head.encode("latin-1") + body)

    return answer


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def streaming(*parts: bytes, pause_s: float = 0, whole: bool = True) -> Answer:
    """Each request gets these parts as chunks, then the end or a cut."""

    async def answer(_: Received, wire: Wire) -> None:
        await wire.send(STREAM_HEAD)
        for part in parts:
            if pause_s:
                await asyncio.sleep(pause_s)
            await wire.chunk(part)
        if whole:
            await wire.end_chunks()
        else:
            wire.cut()

    return answer
