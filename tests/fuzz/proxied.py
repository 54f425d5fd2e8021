"""What the proxy looks into: bodies, events and messages, packed or not, cut anywhere."""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from random import Random

import brotli
import msgspec
from backports import zstd

from exporter.record import LARGEST_FIGURE, Batch, Kinds, Record
from exporter.sources.proxy.apis import Api, Asked, api_of
from exporter.sources.proxy.event_stream import EventStream
from exporter.sources.proxy.observation import Caller, Observation
from exporter.sources.proxy.stream_usage import UsageRemover, asking_for_usage
from exporter.sources.proxy.unpacking import UnpackError, unpacker
from exporter.tally import Tally
from exporter.vocabulary import INSTRUMENTS
from tests.fuzz.mutation import PROMPT, cut
from tests.fuzz.target import Target

MOST_BYTES = 1 << 16
CALLER = Caller("req-1", "", "openai", 1_790_000_000.0, ())

CHAT = api_of("POST", "/v1/chat/completions")
APIS: Sequence[Api] = [
    api_of("POST", path)
    for path in (
        *("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/images/generations"),
        *("/v1/audio/speech", "/api/v1/services/aigc/multimodal-generation/generation"),
        *("/api/v1/services/aigc/video-generation/video-synthesis", "/v1/embeddings"),
    )
]
QUESTION = {
    "model": "qwen-plus",
    "stream": True,
    "stream_options": {"include_usage": False},
    "messages": [{"role": "user", "content": PROMPT}],
    "input": {"text": PROMPT},
}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
ANSWERS: Sequence[Mapping[str, object]] = (
    {
        "model": "qwen-plus-2026",
        "choices": [{"message": {"content": PROMPT}, "finish_reason": "stop"}],
        "usage": USAGE,
        "data": [{"b64_json": ""}, {"b64_json": ""}],
    },
    {
        "type": "message_start",
        "message": {"model": "claude", "usage": {"input_tokens": 4, "cache_read_input_tokens": 9}},
    },
    {
        "type": "response.completed",
        "response": {"model": "o", "status": "failed", "error": {"code": 5, "type": "x"}},
        "item": {"type": "function_call"},
        "content_block": {"type": "tool_use"},
        "delta": {"text": PROMPT, "stop_reason": "end_turn"},
    },
    {
        "output": {
            "task_id": "t",
            "task_status": "FAILED",
            "code": "E",
            "results": [{}],
            "choices": [{"delta": {"audio": {}}, "finish_reason": "null"}],
        },
        "usage": {"image_count": 1, "video_duration": 2, "characters": 3, "seconds": 4.5},
    },
    {"error": {"code": "overloaded", "type": "x", "message": PROMPT}, "duration": "1.5"},
)
EVENTS = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in ANSWERS) + (
    b'event: x\r\ndata: {"choices":[],"usage":null}\r\n\r\n: ping\n\ndata: [DONE]\n\n'
)


def _draw(data: bytes) -> Random:
    """What is drawn beside the data; the same for the same data."""
    return Random(zlib.crc32(data))


def _counted(record: Record) -> None:
    """The record as the pipeline takes it."""
    figures = [value for value in record if isinstance(value, float)]
    batch = Batch.of(Kinds(), [record])
    (read,) = batch.records()
    texts = (read.request_id, read.trace_id, *map(str, read.kind))
    assert all(text == text.encode().decode() and len(text) < 1000 for text in texts)
    assert not any(map(math.isnan, figures))
    assert all(value is None or value <= LARGEST_FIGURE for value in read[4:])
    tally = Tally(INSTRUMENTS)
    tally.add(batch, None)


def _observed(api: Api, request: bytes, head: bytes, parts: Sequence[bytes]) -> Record:
    seen = Observation(Asked(api), CALLER, MOST_BYTES)
    seen.take_request(request, b"application/json")
    seen.take_head(200, head, b"")
    for part in parts:
        seen.take_part(part, 0.5)
    return seen.end("whole", 1.0)


def _feed_answers(head: bytes, data: bytes) -> None:
    """The same record wherever the answer is cut, of any API."""
    draw = _draw(data)
    request = json.dumps(QUESTION).encode()
    for api in APIS:
        record = _observed(api, request, head, [data])
        _counted(record)
        if len(data) <= MOST_BYTES:
            assert _observed(api, request, head, cut(data, draw)) == record


def _feed_requests(data: bytes) -> None:
    answer = json.dumps(ANSWERS[0]).encode()
    for api, type_ in product(APIS, (b"application/json", b"multipart/form-data; boundary=a")):
        seen = Observation(Asked(api), CALLER, MOST_BYTES)
        seen.take_request(data, type_)
        seen.take_head(200, b"application/json", b"")
        seen.take_part(answer, 0.5)
        _counted(seen.end("whole", 1.0))
    asking = asking_for_usage(data)
    if asking is not None:
        given, wanted = _members(data), _members(asking)
        assert b'"include_usage":true' in wanted.pop("stream_options")
        given.pop("stream_options", None)
        assert wanted == given


def _members(document: bytes) -> dict[str, bytes]:
    """Of an object, as they are written: what is not looked into need not be UTF-8."""
    found = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    return {name: bytes(value) for name, value in found.items()}


def _feed_sessions(data: bytes) -> None:
    """Messages of a WebSocket, and the query of its URL."""
    seen = Observation(Asked(api_of("GET", "/v1/realtime")), CALLER, MOST_BYTES)
    seen.take_session(data[:200].decode("latin-1"))
    for message in data.split(b"\n"):
        seen.take_opening(message)
        seen.take_message(message)
    _counted(seen.end("cut", 1.0))


def _feed_streams(data: bytes) -> None:
    """Events and what is taken out of them are the same wherever they are cut."""
    parts = cut(data, _draw(data))
    assert list(_events(parts)) == list(_events([data]))
    assert _kept(parts) == _kept([data])


def _events(parts: Sequence[bytes]) -> Iterator[bytes]:
    stream = EventStream()
    for part in parts:
        yield from stream.feed(part)
    yield from stream.end()


def _kept(parts: Sequence[bytes]) -> bytes:
    remover = UsageRemover()
    return b"".join([*(remover.feed(part) for part in parts), remover.end()])


PACKERS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"gzip": partial(gzip.compress, mtime=0),
    b"deflate": zlib.compress,
    b"br": brotli.compress,
    b"zstd": zstd.compress,
}


def _feed_packed(encoding: bytes, data: bytes) -> None:
    """Only `UnpackError`, and no part unpacks to more than what it may."""
    unpack = unpacker(encoding, MOST_BYTES)
    try:
        for part in cut(data, _draw(data)):
            assert len(unpack(part)) <= MOST_BYTES
    except UnpackError:
        pass
    seen = Observation(Asked(CHAT), CALLER, MOST_BYTES)
    seen.take_head(200, b"text/event-stream", encoding)
    seen.take_part(data, 0.5)
    _counted(seen.end("client_left", 1.0))


def _packed(encoding: bytes) -> Sequence[bytes]:
    pack = PACKERS[encoding]
    return [pack(EVENTS), pack(b"\0" * (4 * MOST_BYTES)), pack(EVENTS) + pack(EVENTS)]


def _answers() -> Sequence[bytes]:
    return [json.dumps(answer).encode() for answer in ANSWERS]


TARGETS = (
    Target("answers", partial(_feed_answers, b"application/json"), _answers),
    Target("events", partial(_feed_answers, b"text/event-stream"), lambda: [EVENTS]),
    Target("requests", _feed_requests, lambda: [json.dumps(QUESTION).encode()]),
    Target("sessions", _feed_sessions, lambda: [b"\n".join(_answers()), b"model=m&x=%ff"]),
    Target("streams cut anywhere", _feed_streams, lambda: [EVENTS]),
    *(
        Target(
            f"packed with {encoding.decode()}",
            partial(_feed_packed, encoding),
            partial(_packed, encoding),
        )
        for encoding in PACKERS
    ),
)
