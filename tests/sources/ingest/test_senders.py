"""What senders really send: shapes of Kong and APISIX, LiteLLM's own callback, a killed daemon."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.setup import REQUESTS
from tests.waiting import wait_until

CONFIG = "state_dir: {state}\nsources: [{{name: push, ingest: {{}}}}]\n"

KONG = {
    "request": {"id": "kong-1", "method": "POST", "uri": "/v1/chat", "headers": {}},
    "response": {"status": 200, "headers": {}},
    "latencies": {"request": 812, "kong": 7, "proxy": 805},
    "started_at": 1_790_000_000_123,
    "ai": {
        "proxy": {
            "meta": {
                "request_model": "qwen-plus",
                "response_model": "qwen-plus",
                "provider_name": "openai",
                "llm_latency": 800,
            },
            "usage": {"prompt_tokens": 21, "completion_tokens": 4, "total_tokens": 25},
        }
    },
}
APISIX = {
    "request_id": "apisix-1",
    "request_type": "ai_chat",
    "request_llm_model": "qwen-plus",
    "llm_model": "qwen-plus",
    "llm_prompt_tokens": "21",
    "llm_completion_tokens": "4",
    "llm_time_to_first_token": "120",
    "status": 200,
    "request_time": "0.812",
    "time_iso8601": "2026-11-20T10:00:00+00:00",
}


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(state=tmp_path / "state"))
    return path


def push(
    daemon: Daemon, format_: str, body: object, token: str = ""
) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(
        f"http://{daemon.address}/ingest/{format_}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}"} if token else {},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_what_kong_and_apisix_send_counts(config_file: Path) -> None:
    with Daemon(config_file).wait_ready() as daemon:
        assert push(daemon, "kong", KONG)[0] == 200
        assert push(daemon, "kong", [KONG, {**KONG, "request": {"id": "kong-2"}}])[1] == {
            "accepted": 1,
            "repeated": 1,
            "skipped": 0,
        }
        assert push(daemon, "apisix-json", [APISIX])[0] == 200
        assert daemon.total(REQUESTS, gen_ai_request_model="qwen-plus") == 3
        assert daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input") == 63


def test_a_push_is_counted_once_however_often_the_daemon_is_killed_in_between(
    config_file: Path,
) -> None:
    lines = [{"request_id": f"r{n}", "model": "m", "status_code": 200} for n in range(50)]
    for _ in range(3):
        with Daemon(config_file).wait_ready() as daemon:
            status, told = push(daemon, "records", lines)
            assert status == 200
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait(10)
    with Daemon(config_file).wait_ready() as daemon:
        assert told == {"accepted": 0, "repeated": 50, "skipped": 0}
        assert daemon.total(REQUESTS) == 50


def test_a_reload_loses_no_push(config_file: Path) -> None:
    with Daemon(config_file).wait_ready() as daemon:

        async def push_all() -> list[int]:
            def one(number: int) -> int:
                line = {"request_id": f"r{number}", "model": "m", "status_code": 200}
                if number % 10 == 5:
                    daemon.process.send_signal(signal.SIGHUP)
                return push(daemon, "records", line)[0]

            return await asyncio.gather(*(asyncio.to_thread(one, n) for n in range(40)))

        assert set(asyncio.run(push_all())) == {200}
        assert daemon.total(REQUESTS) == 40


def test_a_reload_without_the_token_leaves_the_door_as_it_is(tmp_path: Path) -> None:
    token, config_file, log = tmp_path / "token", tmp_path / "config.yaml", tmp_path / "log"
    token.write_text("open sesame")
    config_file.write_text(
        f"state_dir: {tmp_path / 'state'}\nsources:\n"
        f"  - {{name: push, ingest: {{token: {{file: {token}}}}}}}\n"
        f"  - {{name: log, tail: {{paths: [{log}], format: records}}}}\n"
    )
    failed = "llm_gateway_exporter_config_last_reload_successful"
    with Daemon(config_file).wait_ready() as daemon:
        token.unlink()
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.total(failed) == 0)
        log.write_text('{"status_code": 200}\n')
        wait_until(lambda: daemon.total(REQUESTS) == 1)
        assert push(daemon, "records", {"status_code": 200}, token="open sesame")[0] == 200
        token.write_text("open barley")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.total(failed) == 1)
        assert push(daemon, "records", {"status_code": 200}, token="open barley")[0] == 200


CALLBACK = """
import asyncio
import litellm
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

async def main():
    formats = ("json_array", "ndjson", "single")
    loggers = [GenericAPILogger(endpoint={endpoint!r}, log_format=each) for each in formats]
    litellm.callbacks = [*loggers]
    for number in range(3):
        await litellm.acompletion(
            model="openai/qwen-plus",
            api_key="sk-none",
            messages=[{{"role": "user", "content": "hello"}}],
            mock_response="world",
        )
    for _ in range(100):
        if all(len(logger.log_queue) == 3 for logger in loggers):
            break
        await asyncio.sleep(0.1)
    for logger in loggers:
        await logger.flush_queue()

asyncio.run(main())
"""


def test_litellms_generic_api_callback_pushes_in_each_of_its_shapes_and_counts_once(
    config_file: Path,
) -> None:
    with Daemon(config_file).wait_ready() as daemon:
        script = CALLBACK.format(endpoint=f"http://{daemon.address}/ingest/litellm")
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=90)
        wait_until(lambda: daemon.total(REQUESTS, http_response_status_code="200") == 3)
        assert daemon.total("llm_gateway_tokens_total") > 0
        assert daemon.total("llm_gateway_exporter_ingest_requests_repeated_total") == 6
