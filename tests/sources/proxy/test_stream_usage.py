"""`ensure_stream_usage`: what is asked for, and what the client sees of the answer."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.proxy.stream_usage import UsageRemover, asking_for_usage
from tests.sources.proxy.conftest import StartProxy
from tests.sources.proxy.upstreams import Received, Wire, streaming

UNASKED = [
    b'data: {"id":"1","choices":[{"delta":{"content":"\\"usage\\":null,"}}]}\n\n',
    b": ping\n\n",
    b'data: {"choices":[{"delta":{"content":"b"}}],"x":{"usage":null}}\n\n',
    b'data: {"choices": [{"finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
]
ASKED = [
    b'data: {"id":"1","choices":[{"delta":{"content":"\\"usage\\":null,"}}],"usage":null}\n\n',
    b": ping\n\n",
    b'data: {"choices":[{"delta":{"content":"b"}}],"x":{"usage":null},"usage":null}\n\n',
    b'data: {"usage": null, "choices": [{"finish_reason": "stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
]
CHAT = "/v1/chat/completions"


def shown(parts: list[bytes]) -> bytes:
    remover = UsageRemover()
    return b"".join(map(remover.feed, parts)) + remover.end()


def test_what_is_not_utf_8_is_left_as_it_is() -> None:
    assert asking_for_usage(b'{"stream": true, "\xff": 1}') is None
    event = b'data: {"choices": [], "usage": null, "\xff": 1}\n\n'
    assert shown([event]) == event


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_the_client_sees_what_it_would_have_seen_unasked_cut_at_every_byte(ending: bytes) -> None:
    asked, unasked = (b"".join(x).replace(b"\n", ending) for x in (ASKED, UNASKED))
    assert shown([asked]) == unasked
    assert shown([bytes([byte]) for byte in asked]) == unasked


@given(st.binary(max_size=300), st.integers(0, 300))
def test_what_holds_no_usage_goes_through_as_it_is(data: bytes, cut: int) -> None:
    assert shown([data[:cut], data[cut:]]) == data


def test_a_long_event_in_small_parts_takes_no_time() -> None:
    event = b'data: {"choices":[{"delta":{"content":"' + b"x" * 1_000_000 + b'"}}]}\n\n'
    began = time.thread_time()
    assert shown([event[at : at + 1400] for at in range(0, len(event), 1400)]) == event
    assert time.thread_time() - began < 1


def test_an_event_with_usage_and_choices_is_the_upstreams_own() -> None:
    event = b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":4}}\n\n'
    assert shown([event]) == event


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            '{"stream": true, "a": 1.50}',
            '{"stream":true,"a":1.50,"stream_options":{"include_usage":true}}',
        ),
        (
            '{"stream_options": {"x": 1}, "stream": true}',
            '{"stream_options":{"x":1,"include_usage":true},"stream":true}',
        ),
        (
            '{"stream": true, "stream_options": null}',
            '{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        ('{"stream": true, "stream_options": {"include_usage": true}}', None),
        ('{"stream": false}', None),
        ('{"model": "m"}', None),
        ("[1]", None),
        ("{", None),
    ],
)
def test_usage_is_asked_for_where_it_is_not(body: str, expected: str | None) -> None:
    changed = asking_for_usage(body.encode())
    assert (changed.decode() if changed else None) == expected


async def openai(request: Received, wire: Wire) -> None:
    options = json.loads(request.body).get("stream_options") or {}
    parts = ASKED if options.get("include_usage") else UNASKED
    await streaming(b"".join(parts)[:70], b"".join(parts)[70:])(request, wire)


def test_usage_is_recorded_and_the_client_does_not_see_it(start_proxy: StartProxy) -> None:
    proxy = start_proxy(openai, ensure_stream_usage=True)
    answer = proxy.ask(CHAT, {"model": "m", "stream": True}, Accept_Encoding="gzip")
    assert answer.body == b"".join(UNASKED)
    assert (proxy.record().input_tokens, proxy.record().output_tokens) == (4, 2)
    assert proxy.upstream.received[0].header("accept-encoding") in (None, "identity")


def test_a_client_that_asks_for_usage_sees_it(start_proxy: StartProxy) -> None:
    proxy = start_proxy(openai, ensure_stream_usage=True)
    body = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    assert proxy.ask(CHAT, body).body == b"".join(ASKED)
    assert proxy.record().input_tokens == 4


def test_without_the_option_nothing_is_asked_for(start_proxy: StartProxy) -> None:
    proxy = start_proxy(openai)
    assert proxy.ask(CHAT, {"model": "m", "stream": True}).body == b"".join(UNASKED)
    assert proxy.record().input_tokens is None
