"""An upstream that answers everything with a stream of events: at once, or some time apart."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import cast

import uvloop

INPUT, OUTPUT = 42, 17


PADDINGS = ("aB3", "k", "Xy8mN2qRt", "p0Zs5v", "wE")
"""As OpenAI pads events, so that their sizes tell nothing of the text."""


def _event(number: int, events: int, *, padded: bool) -> bytes:
    choice = {"index": 0, "delta": {"content": f"word {number} "}, "finish_reason": None}
    document: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "qwen-plus-2026",
        "system_fingerprint": "fp_0123456789",
        "choices": [choice],
    }
    if number == events - 2:
        document["choices"] = []
        document["usage"] = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT}
    if padded:
        document["obfuscation"] = PADDINGS[number % len(PADDINGS)]
    data = "[DONE]" if number == events - 1 else json.dumps(document)
    return f"data: {data}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def stream(events: int, *, padded: bool = False) -> list[bytes]:
    """The chunks of a stream, of which the last but one tells the usage."""
    chunks = [_chunk(_event(number, events, padded=padded)) for number in range(events)]
    chunks[-1] += b"0\r\n\r\n"
    return chunks


class Streaming(asyncio.Protocol):
    """One connection; takes whatever ends a head or a body for the end of a request."""

    def __init__(self, chunks: Sequence[bytes], pause_s: float) -> None:
        self._chunks = chunks
        self._pause_s = pause_s
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, _, body = self._data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0] or 0)
        if len(body) < length:
            return
        self._data = b""
        self._transport.write(HEAD)
        self._send(0)

    def _send(self, number: int) -> None:
        if self._transport.is_closing():
            return
        while number < len(self._chunks):
            self._transport.write(self._chunks[number])
            number += 1
            if self._pause_s and number < len(self._chunks):
                asyncio.get_running_loop().call_later(self._pause_s, self._send, number)
                return


async def _serve(port: int, events: int, pause_s: float, padded: bool) -> None:
    chunks, loop = stream(events, padded=padded), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Streaming(chunks, pause_s), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    port, events, pause_s, padded = sys.argv[1:]
    uvloop.run(_serve(int(port), int(events), float(pause_s), bool(int(padded))))
