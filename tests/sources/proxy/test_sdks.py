"""The real clients, through the proxy, against an upstream that speaks their APIs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from exporter.record import Record
from tests.sources.proxy.conftest import Proxied, StartProxy
from tests.sources.proxy.fake_apis import CACHED, INPUT, OUTPUT, WORDS, FakeApis

TEXT = "".join(WORDS)
MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


@pytest.fixture
def apis() -> FakeApis:
    return FakeApis()


@pytest.fixture
def proxy(start_proxy: StartProxy, apis: FakeApis) -> Proxied:
    return start_proxy(apis.answer)


@pytest.fixture
def gpt(proxy: Proxied) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="sk-none", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(proxy: Proxied) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=proxy.url, api_key="sk-none", max_retries=0) as client:
        yield client


def is_true(record: Record, *, streamed: bool, provider: str = "openai") -> bool:
    """Whether the record is what the upstream knows to be true."""
    assert (record.input_tokens, record.output_tokens) == (INPUT, OUTPUT)
    assert record.cached_input_tokens == CACHED
    assert record.kind.response_model == f"{record.kind.model}-2026"
    assert (record.kind.streamed, record.kind.provider) == (streamed, provider)
    assert (record.kind.status_code, record.kind.error_type) == (200, "")
    assert (record.time_to_first_token is not None) is streamed
    return True


def test_openais_chat(gpt: openai.OpenAI, proxy: Proxied) -> None:
    raw = gpt.chat.completions.with_raw_response.create(model="plain", messages=MESSAGES)
    assert raw.parse().choices[0].message.content == TEXT
    assert is_true(proxy.record(), streamed=False)
    assert proxy.record().request_id == raw.headers["x-request-id"]


@pytest.mark.parametrize("model", ["plain", "tools"])
def test_openais_streamed_chat(gpt: openai.OpenAI, proxy: Proxied, model: str) -> None:
    chunks = list(
        gpt.chat.completions.create(
            model=model,
            messages=MESSAGES,
            tools=TOOLS,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == ("" if model == "tools" else TEXT)
    assert chunks[-1].usage is not None
    assert is_true(proxy.record(), streamed=True)


def test_a_stream_that_was_not_asked_for_usage_has_none(gpt: openai.OpenAI, proxy: Proxied) -> None:
    assert (
        len(list(gpt.chat.completions.create(model="plain", messages=MESSAGES, stream=True))) == 6
    )
    record = proxy.record()
    assert (record.input_tokens, record.kind.error_type) == (None, "")


def test_usage_is_ensured_without_the_clients_knowing(
    start_proxy: StartProxy, apis: FakeApis
) -> None:
    proxy = start_proxy(apis.answer, ensure_stream_usage=True)
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="sk-none") as client:
        chunks = list(client.chat.completions.create(model="plain", messages=MESSAGES, stream=True))
    assert len(chunks) == 6
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert is_true(proxy.record(), streamed=True)


def test_openais_responses(gpt: openai.OpenAI, proxy: Proxied) -> None:
    assert gpt.responses.create(model="plain", input="hello").output_text == TEXT
    assert is_true(proxy.record(), streamed=False)


def test_openais_streamed_responses(gpt: openai.OpenAI, proxy: Proxied) -> None:
    events = list(gpt.responses.create(model="plain", input="hello", stream=True))
    assert [event.type for event in events][-1] == "response.completed"
    assert is_true(proxy.record(), streamed=True)


def test_openais_embeddings(gpt: openai.OpenAI, proxy: Proxied) -> None:
    assert gpt.embeddings.create(model="plain", input="hello").data[0].embedding == [1.0, 2.0]
    record = proxy.record()
    assert (record.input_tokens, record.output_tokens) == (INPUT, None)
    assert record.kind.operation == "embeddings"


def test_errors_reach_the_client_as_they_are(
    gpt: openai.OpenAI, claude: anthropic.Anthropic, proxy: Proxied
) -> None:
    with pytest.raises(openai.RateLimitError, match="slow down"):
        gpt.chat.completions.create(model="limited", messages=MESSAGES)
    with pytest.raises(anthropic.RateLimitError, match="slow down"):
        claude.messages.create(model="limited", messages=MESSAGES, max_tokens=9)
    kinds = [record.kind for record in proxy.records(2)]
    assert [(kind.status_code, kind.error_type) for kind in kinds] == [(429, "rate_limited")] * 2


def test_a_broken_stream_is_broken_for_the_client(gpt: openai.OpenAI, proxy: Proxied) -> None:
    with pytest.raises(openai.APIConnectionError) as caught:
        list(gpt.chat.completions.create(model="broken", messages=MESSAGES, stream=True))
    assert "peer closed connection" in str(caught.value.__cause__)
    assert proxy.record().kind.error_type == "stream_aborted"


def test_a_cancelled_stream_is_the_clients_doing(gpt: openai.OpenAI, proxy: Proxied) -> None:
    stream = gpt.chat.completions.create(model="slow", messages=MESSAGES, stream=True)
    next(iter(stream))
    stream.close()
    assert proxy.record().kind.error_type == "client_aborted"


def test_anthropics_messages(claude: anthropic.Anthropic, proxy: Proxied) -> None:
    message = claude.messages.create(model="plain", messages=MESSAGES, max_tokens=9)
    assert message.content[0].to_dict()["text"] == TEXT
    assert is_true(proxy.record(), streamed=False, provider="anthropic")


@pytest.mark.parametrize("model", ["plain", "tools"])
def test_anthropics_streamed_messages(
    claude: anthropic.Anthropic, proxy: Proxied, model: str
) -> None:
    with claude.messages.stream(model=model, messages=MESSAGES, max_tokens=9) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert is_true(proxy.record(), streamed=True, provider="anthropic")


def test_what_the_client_receives_is_what_the_upstream_sent(proxy: Proxied, apis: FakeApis) -> None:
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
        for stream in (True, False):
            answer = proxy.ask(path, {"model": "plain", "messages": [], "stream": stream})
            assert answer.body == apis.sent[-1]


LITELLM = """
import litellm
MESSAGES = [{{"role": "user", "content": "hello"}}]
for model, base in (("openai/plain", "{url}/v1"), ("anthropic/plain", "{url}")):
    call = dict(model=model, api_base=base, api_key="sk-none", messages=MESSAGES, max_retries=0)
    print(litellm.completion(**call).choices[0].message.content)
    options = dict(stream=True, stream_options={{"include_usage": True}})
    chunks = litellm.completion(**call, **options)
    print("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
"""


def test_litellm_as_the_client(proxy: Proxied) -> None:
    script = LITELLM.format(url=proxy.url)
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=90
    )
    assert run.returncode == 0, run.stderr
    # It prints advice of its own in between.
    assert [line for line in run.stdout.splitlines() if line == TEXT] == [TEXT] * 4
    records = proxy.records(4)
    assert all(
        is_true(record, streamed=streamed, provider=provider)
        for record, streamed, provider in zip(
            records,
            (False, True, False, True),
            ("openai", "openai", "anthropic", "anthropic"),
            strict=True,
        )
    )
