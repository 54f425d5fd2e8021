"""Pushes by HTTP into a real pipeline: what is answered, and what counts."""

import asyncio
import gc
import gzip
import json
import select
import socket
import threading
import tracemalloc
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
from backports import zstd
from prometheus_client import CollectorRegistry

from exporter import pipeline
from exporter.config import Config
from exporter.documents import load
from exporter.engine import Engine, Metrics
from exporter.formats import resolve
from exporter.formats.compile import Decoder
from exporter.record import Kinds
from exporter.sources.inbox import Inboxes
from exporter.sources.ingest import source
from exporter.store.state import StateStore
from exporter.vocabulary import REQUESTS, TOKENS
from exporter.web import ingest
from exporter.web.ingest import PushDoor
from exporter.web.server import WebServer
from tests.counting import series_of, value_of
from tests.waiting import wait_until
from tests.web.serving import Answer, FixedExposition, Served

TOKEN = "a-token-of-the-tests"


class Door:
    """A push door on a port, before an engine over a directory."""

    def __init__(self, directory: Path, ingest: str = "{}", web_config: Path | None = None) -> None:
        text = f"state_dir: {directory / 'state'}\nsources: [{{name: push, ingest: {ingest}}}]\n"
        self.config = load(Path("config.yaml"), Config, text)
        self.metrics = Metrics()
        self.inboxes = Inboxes()
        self.store = StateStore(self.config.state_dir)
        self.engine = Engine(self.config, self.store, self.metrics, self.inboxes)
        self.trouble: str | None = None
        door = PushDoor(lambda: self.engine.ingest, lambda: self.trouble, self.metrics.ingest)
        server = WebServer(
            ["127.0.0.1:0"],
            exposition=FixedExposition(),
            ready=lambda: None,
            sources=list,
            web_config=web_config,
        )
        server.add_routes(door.routes(), admits=door.admits)
        self.served = Served(server)
        self.engine.start()

    def push(
        self, body: bytes | Any, format_: str = "records", authorization: str = "", **headers: str
    ) -> Answer:
        """Push bytes, or anything else as JSON; header names have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if authorization:
            named["Authorization"] = authorization
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.served.ask(f"/ingest/{format_}", "POST", named, body=data)

    def requests(self, **labels: str) -> float:
        return value_of(series_of(self.engine.ledger), REQUESTS, **labels) or 0

    def tokens(self) -> float:
        return value_of(series_of(self.engine.ledger), TOKENS) or 0

    def metric(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"llm_gateway_exporter_{name}") or 0

    def close(self) -> None:
        self.served.stop()
        assert self.engine.stop(5)
        self.store.close()


OpenDoor = Callable[..., Door]


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[OpenDoor]:
    """Opens a door, or opens it again over the same state; the last one closes with the test."""
    standing: list[Door] = []

    def start(*arguments: Any, **named: Any) -> Door:
        while standing:
            standing.pop().close()
        standing.append(Door(tmp_path, *arguments, **named))
        return standing[-1]

    yield start
    for door in standing:
        door.close()


@pytest.fixture
def door(open_door: OpenDoor) -> Door:
    return open_door()


def a_line(number: int = 0, **fields: Any) -> dict[str, Any]:
    usual = {
        "request_id": f"req-{number}",
        "model": "qwen-plus",
        "status_code": 200,
        "start_time": 1_790_000_000.25 + number,
        "latency_s": 0.5,
        "input_tokens": 10,
        "output_tokens": 5,
    }
    return {**usual, **fields}


def some_lines(numbers: Sequence[int]) -> list[dict[str, Any]]:
    return [a_line(number) for number in numbers]


def ndjson(lines: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize(
    ("body", "requests"),
    [
        (a_line(), 1),
        (json.dumps(a_line(), indent=2).encode(), 1),
        (some_lines(range(3)), 3),
        (json.dumps([None, *some_lines(range(2)), None], indent=1).encode(), 2),
        (ndjson(some_lines(range(4))), 4),
        (ndjson(some_lines(range(2))).rstrip(), 2),
        (ndjson(some_lines(range(2))).replace(b"\n", b"\r\n\r\n"), 2),
        (b"\xef\xbb\xbf" + ndjson([a_line()]), 1),
        ([], 0),
        (b"", 0),
        (b"null", 0),
        ([None], 0),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_objects_arrays_and_lines_count_whatever_they_are_called(
    door: Door, body: Any, requests: int, content_type: str
) -> None:
    answer = door.push(body, Content_Type=content_type)
    assert (answer.status, json.loads(answer.text)["accepted"]) == (200, requests)
    assert door.requests(gen_ai_request_model="qwen-plus") == requests
    assert door.tokens() == 15 * requests


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd.compress)],
)
def test_packed_bodies_are_unpacked(
    door: Door, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(ndjson(some_lines(range(500))))
    assert door.push(body, Content_Encoding=encoding).status == 200
    assert door.requests() == 500


def test_a_push_of_many_blocks_counts_whole(door: Door) -> None:
    assert door.push(ndjson(some_lines(range(5000)))).status == 200
    assert door.requests() == 5000


def test_a_push_of_more_names_than_one_commit_may_have_counts_whole(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_KINDS", 100)
    lines = [a_line(number, model=f"model-{number}") for number in range(5000)]
    answer = door.push(lines, Idempotency_Key="one")
    assert (answer.status, json.loads(answer.text)["accepted"]) == (200, 5000)
    assert door.requests() == 5000


def test_a_push_that_failed_is_not_known_by_its_key(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(source, "json_lines", lambda body: 1 / 0)
        assert door.push(a_line(), Idempotency_Key="one").status == 500
    for accepted in (1, 0):
        answer = door.push(a_line(), Idempotency_Key="one")
        assert (answer.status, json.loads(answer.text)["accepted"]) == (200, accepted)


def test_the_requests_that_a_push_was_answered_for_are_there_after_a_restart(
    open_door: OpenDoor,
) -> None:
    open_door().push(some_lines(range(3)))
    assert open_door().requests() == 3


def test_a_repeated_push_counts_once_even_after_a_restart_and_in_another_shape(
    open_door: OpenDoor,
) -> None:
    door = open_door()
    assert json.loads(door.push(some_lines(range(3))).text)["accepted"] == 3
    assert json.loads(door.push(some_lines(range(3))).text) == {
        "accepted": 0,
        "repeated": 3,
        "skipped": 0,
    }
    door = open_door()
    answer = json.loads(door.push(ndjson(some_lines(range(1, 5)))).text)
    assert (answer["accepted"], answer["repeated"]) == (2, 2)
    assert (door.requests(), door.tokens()) == (5, 75)


def test_one_id_of_two_requests_counts_twice(door: Door) -> None:
    door.push([a_line(), a_line(start_time=1_790_000_777)])
    assert door.requests() == 2


def test_requests_without_an_id_are_told_apart_by_the_idempotency_key_alone(door: Door) -> None:
    line = a_line(request_id=None)
    for key in ("one", "one", "two"):
        assert door.push(line, Idempotency_Key=key).status == 200
    assert door.requests() == 2
    door.push(line)
    door.push(line)
    assert door.requests() == 4


def test_after_the_window_a_request_is_not_known_any_more(open_door: OpenDoor) -> None:
    door = open_door("{repeat_window: 0s}")
    for _ in range(2):
        door.push(a_line())
    # The window ends with the commit that comes after it.
    door.push(a_line(1))
    door.push(a_line())
    assert door.requests() >= 3


def test_broken_lines_are_refused_with_the_reason_and_the_others_count(door: Door) -> None:
    body = ndjson(some_lines(range(2))) + b'{"model": "secret-name", \n{"model": "m"}\n'
    answer = door.push(body)
    told = json.loads(answer.text)
    assert answer.status == 400
    assert (told["accepted"], told["rejected"]) == (2, 2)
    assert told["reasons"] == {"invalid_json": 1, "no_status": 1}
    assert "fields.status_code finds no code from 100 to 599" in told["hints"]
    assert "secret-name" not in answer.text
    assert door.requests() == 2


def test_a_push_that_is_answered_after_a_reload_does_not_hold_the_engine_of_before(
    tmp_path: Path,
) -> None:
    door = Door(tmp_path)
    engine, source = weakref.ref(door.engine), door.engine.ingest
    door.close()
    del door
    gc.collect()
    assert (source is not None, engine()) == (True, None)


def test_who_sends_a_push_with_broken_lines_again_may_go_on_and_it_counts_once(door: Door) -> None:
    body = ndjson([a_line(request_id=None), {"model": "m"}])
    assert door.push(body).status == 400
    again = door.push(body)
    assert (again.status, json.loads(again.text)["repeated"]) == (200, 1)
    assert door.requests() == 1
    rejected = "llm_gateway_exporter_lines_rejected_total"
    labels = {"source": "push", "reason": "no_status"}
    assert door.metrics.registry.get_sample_value(rejected, labels) == 1


def test_a_push_of_broken_lines_only_is_refused_as_often_as_it_comes(door: Door) -> None:
    for _ in range(2):
        assert door.push(ndjson([{"model": "m"}])).status == 400


def test_an_unknown_format_is_not_found_and_the_nearest_is_named(door: Door) -> None:
    answer = door.push(a_line(), format_="litelm")
    assert (answer.status, answer.text) == (
        404,
        "404: there is no such format; did you mean litellm?\n",
    )


def test_a_body_that_is_too_large_is_refused_packed_or_not(open_door: OpenDoor) -> None:
    door = open_door("{max_body: 1KiB}")
    large = ndjson(some_lines(range(1000)))
    assert door.push(large).status == 413
    assert door.push(gzip.compress(large), Content_Encoding="gzip").status == 413
    assert door.requests() == 0


@pytest.mark.parametrize("encoding", ["compress", "br, gzip", "x"])
def test_an_unknown_packing_is_refused(door: Door, encoding: str) -> None:
    assert door.push(b"x", Content_Encoding=encoding).status == 415


def test_a_body_that_is_not_packed_as_it_says_is_refused(door: Door) -> None:
    assert door.push(b"not gzip at all", Content_Encoding="gzip").status == 400
    cut = gzip.compress(ndjson(some_lines(range(100))))[:-30]
    answer = door.push(cut, Content_Encoding="gzip")
    assert answer.status == 400
    assert door.requests() == json.loads(answer.text)["accepted"]


def test_nothing_is_taken_while_nothing_can_be_committed(door: Door) -> None:
    door.trouble = "disk full"
    answer = door.push(a_line())
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "disk" not in answer.text
    door.trouble = None
    assert door.push(a_line()).status == 200


def test_what_is_pushed_while_commits_fail_counts_once_they_succeed(door: Door) -> None:
    other = apsw.Connection(str(door.config.state_dir / "state.db"))
    other.execute("begin immediate")
    with ThreadPoolExecutor() as senders:
        first = senders.submit(door.push, a_line(1))
        wait_until(lambda: door.engine.pipeline.commit_error)
        second = senders.submit(door.push, a_line(2))
        wait_until(lambda: len(door.inboxes.of_pushes("push")) == 1)
        failures = door.metric("commit_failures_total")
        wait_until(lambda: door.metric("commit_failures_total") > failures + 1)
        other.close()
        assert (first.result().status, second.result().status) == (200, 200)
    assert door.requests() == 2


def test_a_push_without_room_is_to_come_again(tmp_path: Path, open_door: OpenDoor) -> None:
    door = open_door()
    source = door.engine.ingest
    assert source is not None
    source._inbox._capacity = 10  # Smaller than any test could fill otherwise.
    release = threading.Event()
    committed = source.committed
    source.committed = lambda: (release.wait(5), committed())[1]  # type: ignore[method-assign]
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(door.push(a_line(n)).status))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    threading.Timer(0.3, release.set).start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200, 503}
    assert door.requests() == answers.count(200)


def test_many_large_pushes_at_once_are_to_come_again_and_fill_no_memory(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_ARRIVING_BYTES", 1 << 20)
    packed = gzip.compress(b"\n" * (600 << 10))
    head = b"POST /ingest/records HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n"
    with (
        socket.create_connection(("127.0.0.1", door.served.port)) as first,
        socket.create_connection(("127.0.0.1", door.served.port)) as second,
    ):
        for sender in (first, second):
            sender.sendall(b"%bContent-Length: %d\r\n\r\n" % (head, len(packed)) + packed[:-8])
        ready, _, _ = select.select([first, second], [], [], 10)
        (refused,) = ready
        assert refused.recv(1000).startswith(b"HTTP/1.1 503 ")
        other = second if refused is first else first
        other.sendall(packed[-8:])
        assert other.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert door.push(gzip.compress(b"\n" * (1200 << 10)), Content_Encoding="gzip").status == 200


def test_bodies_that_were_read_are_not_kept_for_their_commit() -> None:
    settings = source.IngestSettings(None, 8 << 20, 600, {"records": resolve("records", {})})
    inbox = Inboxes().of_pushes("push")
    ingest_metrics = source.IngestMetrics(CollectorRegistry())
    read = source.IngestSource(
        "push", settings, inbox, lambda spec: Decoder(spec, Kinds()), {}, ingest_metrics
    )

    async def push_and_read() -> None:
        for _ in range(20):
            read.push("records", b"\n" * (1 << 20), "")
        assert all(decoded.lines == 0 for decoded in read.read(1))

    tracemalloc.start()
    asyncio.run(push_and_read())
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 5 << 20


def test_senders_bear_the_token(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_TOKEN", TOKEN)
    door = open_door("{token: {env: PUSH_TOKEN}}")
    assert door.push(a_line()).status == 401
    assert door.push(a_line(), authorization="Bearer other").status == 401
    assert door.push(a_line(), authorization="Bearer \xff").status == 401
    assert door.push(a_line(), authorization=f"Basic {TOKEN}").status == 401
    assert door.push(a_line(), authorization=f"Bearer {TOKEN}").status == 200
    assert door.requests() == 1


def test_users_of_the_web_config_may_push_too_and_the_token_opens_nothing_else(
    open_door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSH_TOKEN", TOKEN)
    hashed = "$2b$04$KHmKuxvFMDWYVAFBbKn1UOlCIQu6rBVk6Z3BUgjDcgSXmBPoiEX0W"
    web_config = tmp_path / "web.yaml"
    web_config.write_text(f"basic_auth_users: {{ana: {hashed}}}\n")
    door = open_door("{token: {env: PUSH_TOKEN}}", web_config)
    assert door.push(a_line()).status == 401
    assert door.push(a_line(), authorization=f"Bearer {TOKEN}").status == 200
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert door.served.ask("/metrics", headers=bearer).status == 401


def test_the_door_tells_of_itself(door: Door) -> None:
    door.push(some_lines(range(2)))
    door.push(some_lines(range(2)))
    door.push(b"{")
    registry = door.metrics.registry
    prefix = "llm_gateway_exporter_ingest"
    assert registry.get_sample_value(f"{prefix}_pushes_total", {"code": "200"}) == 2
    assert registry.get_sample_value(f"{prefix}_pushes_total", {"code": "400"}) == 1
    assert registry.get_sample_value(f"{prefix}_requests_repeated_total") == 2
