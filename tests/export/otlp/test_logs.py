"""Each request as a log record, against receivers made of opentelemetry-proto's own services."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.logs.v1 import logs_pb2 as pb
from prometheus_client import CollectorRegistry

from exporter.export.otlp import log_work, sender
from exporter.export.otlp.backlog import Backlog
from exporter.export.otlp.memory import Memory
from exporter.export.otlp.push import ReadRequestLog
from exporter.ledger import Ledger
from exporter.vocabulary import IDENTITY, INSTRUMENTS
from tests.export.otlp.pushing import endpoint, metric, pushing
from tests.export.otlp.receiver import Answer, GrpcReceiver, HttpReceiver, Receiver, attributes
from tests.requestlog.logging_requests import DAY_S, NOON, Logging, a_request
from tests.waiting import free_port, wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(params=["http/protobuf", "grpc"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with HttpReceiver() if request.param == "http/protobuf" else GrpcReceiver() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "SHORTEST_RETRY_S", 0.05)
    monkeypatch.setattr(sender, "LONGEST_RETRY_S", 0.2)
    monkeypatch.setattr(log_work, "POLL_INTERVAL_S", 0.05)


@pytest.fixture
def requests(tmp_path: Path) -> Logging:
    return Logging(tmp_path / "requests")


def sending(
    requests: Logging, receiver_url: str, receiver: Receiver | None = None, **settings: Any
) -> AbstractContextManager[CollectorRegistry]:
    settings = {
        "protocol": "grpc" if isinstance(receiver, GrpcReceiver) else "http/protobuf",
        "metrics": False,
        "logs": True,
        **settings,
    }
    return pushing(
        Ledger(INSTRUMENTS, IDENTITY),
        requests.directory.parent,
        endpoint(receiver_url, **settings),
        request_log=ReadRequestLog(requests.directory, lambda _: requests.batch),
    )


def sent_ids(receiver: Receiver) -> list[object]:
    """Request ids in the order in which they came."""
    return [attributes(record)["llm_gateway.request.id"] for record in receiver.records()]


def numbered(first: int, last: int, start: float = NOON) -> list[Any]:
    return [a_request(f"req-{n}", start + n / 1000) for n in range(first, last)]


def names_of(first: int, last: int) -> list[str]:
    return [f"req-{n}" for n in range(first, last)]


def test_a_request_is_told_in_the_conventions_words(tmp_path: Path, receiver: Receiver) -> None:
    requests = Logging(tmp_path / "requests", attributes=("team",))
    with sending(requests, receiver.url, receiver):
        requests.write(
            a_request(
                "req-1",
                NOON,
                model="qwen-plus",
                response_model="qwen-plus-2026",
                provider="dashscope",
                streamed=True,
                finish_reason="stop",
                currency="USD",
                attributes=("search",),
                trace_id=TRACE_ID,
                latency=2.5,
                time_to_first_token=0.25,
                upstream_time=2.0,
                input_tokens=100,
                output_tokens=20,
                cached_input_tokens=60,
                reasoning_output_tokens=5,
                cost=0.00125,
            ),
            source="litellm",
        )
        wait_until(receiver.records)
    (record,) = receiver.records()
    assert record.event_name == "gen_ai.client.inference.operation.details"
    assert record.time_unix_nano == round((NOON + 2.5) * 1e9)
    assert record.trace_id.hex() == TRACE_ID
    assert (record.severity_number, record.severity_text) == (pb.SEVERITY_NUMBER_INFO, "INFO")
    assert record.body.string_value == "chat qwen-plus 200"
    described = attributes(record)
    assert described.pop("log.record.uid") == f"instance:2026-11-23:0:{round(NOON * 1e6)}"
    reasons = described.pop("gen_ai.response.finish_reasons")
    assert [value.string_value for value in reasons.values] == ["stop"]  # type: ignore[attr-defined]
    assert described == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "dashscope",
        "gen_ai.request.model": "qwen-plus",
        "gen_ai.response.model": "qwen-plus-2026",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "http.response.status_code": 200,
        "llm_gateway.request.id": "req-1",
        "llm_gateway.request.start_time": NOON,
        "llm_gateway.request.duration": 2.5,
        "llm_gateway.upstream.duration": 2.0,
        "llm_gateway.cache_hit": False,
        "llm_gateway.cost": 0.00125,
        "llm_gateway.cost.currency": "USD",
        "llm_gateway.source": "litellm",
        "team": "search",
    }
    about = attributes(receiver.logs[0].resource_logs[0].resource)
    assert about["service.name"] == "llm-gateway-exporter"


def test_severity_tells_whose_failure_it_is(requests: Logging, receiver: Receiver) -> None:
    with sending(requests, receiver.url, receiver):
        requests.write(
            a_request("ok"),
            a_request("limited", status=429),
            a_request("gone", status=499, error_type="client_aborted"),
            a_request("broken", status=503),
            a_request("cut", status=200, error_type="stream_aborted"),
        )
        wait_until(lambda: len(receiver.records()) == 5)
    assert [record.severity_text for record in receiver.records()] == [
        *("INFO", "WARN", "WARN", "ERROR", "ERROR")
    ]


def test_a_trace_of_another_kind_is_an_attribute(requests: Logging, receiver: Receiver) -> None:
    with sending(requests, receiver.url, receiver):
        requests.write(a_request("one", trace_id="litellm-7"), a_request("two"))
        wait_until(lambda: len(receiver.records()) == 2)
    first, second = receiver.records()
    assert (first.trace_id, attributes(first)["llm_gateway.trace.id"]) == (b"", "litellm-7")
    assert "llm_gateway.trace.id" not in attributes(second)


def test_all_requests_arrive_in_order_once_over_restarts(
    requests: Logging, receiver: Receiver
) -> None:
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(0, 2500))
        wait_until(lambda: len(receiver.records()) >= 1000)
    requests.write(*numbered(2500, 2600))
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(2600, 5000))
        wait_until(lambda: len(receiver.records()) >= 5000)
    assert sent_ids(receiver) == names_of(0, 5000)


def test_what_was_logged_before_a_destination_was_new_is_not_sent(
    requests: Logging, receiver: Receiver
) -> None:
    requests.write(*numbered(0, 10))
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(10, 20))
        wait_until(receiver.records)
    assert sent_ids(receiver) == names_of(10, 20)


def test_a_request_of_a_past_day_is_sent_too(requests: Logging, receiver: Receiver) -> None:
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(0, 3))
        wait_until(lambda: len(receiver.records()) == 3)
        requests.write(a_request("late", NOON - 2 * DAY_S), *numbered(3, 4))
        wait_until(lambda: len(receiver.records()) == 5)
    assert sorted(map(str, sent_ids(receiver))) == ["late", *names_of(0, 4)]


def test_a_batch_that_is_not_committed_is_not_sent(requests: Logging, receiver: Receiver) -> None:
    with sending(requests, receiver.url, receiver) as registry:
        requests.write(*numbered(0, 3))
        wait_until(lambda: metric(registry, "exports_total", "logs") == 1)
        requests.add(*numbered(3, 6))
        requests.log.commit(requests.batch + 1)  # The rows are in the file; the state has failed.
        exports = metric(registry, "exports_total", "logs")
        wait_until(lambda: metric(registry, "queued", "logs") == 0)
        requests.restart()
        requests.write(*numbered(10, 12))
        wait_until(lambda: len(receiver.records()) == 5)
        assert exports == 1
    assert sent_ids(receiver) == [*names_of(0, 3), *names_of(10, 12)]


def test_rows_that_are_published_long_after_they_were_written_are_found(
    requests: Logging, tmp_path: Path
) -> None:
    memory = Memory(tmp_path, "receiver logs")
    backlog = Backlog(requests.directory, lambda _: requests.batch, memory)
    requests.write(*numbered(0, 3))
    first = backlog.next(10)
    assert first is not None
    backlog.sent(first)
    requests.add(*numbered(3, 6))
    requests.log.commit(requests.batch + 1)
    assert backlog.next(10) is None
    requests.batch += 1
    found = backlog.next(10)
    assert found is not None
    assert found.rows.text("request_id") == names_of(3, 6)
    memory.close()


def test_an_endpoint_that_was_away_gets_everything(requests: Logging) -> None:
    port = free_port()
    with sending(requests, f"http://127.0.0.1:{port}") as registry:
        for first in range(0, 3000, 100):
            requests.write(*numbered(first, first + 100))
        wait_until(lambda: metric(registry, "failures_total", "logs", reason="connection"))
        wait_until(lambda: metric(registry, "queued", "logs") == 3000)
        age = metric(registry, "oldest_unsent_age_seconds", "logs")
        assert age is not None
        with HttpReceiver(port=port) as receiver:
            wait_until(lambda: len(receiver.records()) >= 3000)
            assert sent_ids(receiver) == names_of(0, 3000)
            wait_until(lambda: metric(registry, "oldest_unsent_age_seconds", "logs") == 0)


def test_nothing_is_lost_while_a_receiver_misbehaves(
    requests: Logging, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_work, "MOST_RECORDS", 100)
    if isinstance(receiver, HttpReceiver):
        bad = [Answer(status=status) for status in ("429", "503", "500", "502", "401", "404")]
        bad.append(Answer(breaks=True))
    else:
        codes = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNKNOWN", "UNAUTHENTICATED", "UNIMPLEMENTED")
        bad = [Answer(status=code) for code in codes]
    for answer in bad:
        receiver.answers.extend([Answer(), answer])
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(0, 1500))
        wait_until(lambda: len(set(sent_ids(receiver))) == 1500, 20)
        wait_until(lambda: not receiver.answers)
    told = sent_ids(receiver)
    assert list(dict.fromkeys(told)) == names_of(0, 1500)
    repeated = len(told) - 1500
    assert repeated in ((0, 100) if isinstance(receiver, HttpReceiver) else (0,))


def test_records_that_are_refused_for_good_do_not_hold_up_the_others(
    requests: Logging, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_work, "MOST_RECORDS", 10)
    status = "400" if isinstance(receiver, HttpReceiver) else "INVALID_ARGUMENT"
    receiver.answers.extend([Answer(status=status), Answer(refused=4, message="too old")])
    with sending(requests, receiver.url, receiver) as registry:
        requests.write(*numbered(0, 30))
        wait_until(lambda: len(receiver.records()) == 20)
        assert metric(registry, "refused_total", "logs") == 14
    assert sent_ids(receiver) == names_of(10, 30)


def test_records_that_are_refused_for_good_are_passed_at_once(
    requests: Logging,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sender, "SHORTEST_RETRY_S", 60)
    monkeypatch.setattr(sender, "LONGEST_RETRY_S", 60)
    monkeypatch.setattr(log_work, "MOST_RECORDS", 10)
    status = "400" if isinstance(receiver, HttpReceiver) else "INVALID_ARGUMENT"
    receiver.answers.extend(Answer(status=status, message=f"{n} too old") for n in range(20))
    with sending(requests, receiver.url, receiver) as registry:
        requests.write(*numbered(0, 210))
        wait_until(receiver.records, 5)
        assert metric(registry, "refused_total", "logs") == 200
        assert metric(registry, "failures_total", "logs", reason=status) == 20
    assert sent_ids(receiver) == names_of(200, 210)
    told = [line for line in "".join(capsys.readouterr()).splitlines() if "too old" in line]
    assert len(told) == 1
    assert "refused for good" in told[0]


def test_a_request_that_is_too_large_is_divided(requests: Logging, receiver: Receiver) -> None:
    status = "413" if isinstance(receiver, HttpReceiver) else "RESOURCE_EXHAUSTED"
    receiver.answers.extend([Answer(status=status)] * 2)
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(0, 100))
        wait_until(lambda: len(receiver.records()) == 100)
    assert len(receiver.logs[0].resource_logs[0].scope_logs[0].log_records) == 25
    assert sent_ids(receiver) == names_of(0, 100)


def test_a_receiver_that_takes_few_records_is_sent_few_without_a_pause(
    requests: Logging, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "SHORTEST_RETRY_S", 60)
    receiver.most_bytes = 50_000
    with sending(requests, receiver.url, receiver) as registry:
        requests.write(*numbered(0, 3000))
        wait_until(lambda: len(receiver.records()) == 3000)
        assert metric(registry, "refused_total", "logs") == 0
    assert sent_ids(receiver) == names_of(0, 3000)
    refused = len(receiver.arrived) - len(receiver.logs)
    assert refused < 10


def test_a_day_that_retention_deletes_is_no_longer_waited_for(
    requests: Logging, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with sending(requests, f"http://127.0.0.1:{port}") as registry:
        requests.write(*numbered(0, 5, NOON - 14 * DAY_S), *numbered(5, 9))
        wait_until(lambda: metric(registry, "queued", "logs") == 9)
        requests.now += DAY_S
        requests.log.tend()
        wait_until(lambda: metric(registry, "queued", "logs") == 4)
        with HttpReceiver(port=port) as receiver:
            wait_until(receiver.records)
            assert sent_ids(receiver) == names_of(5, 9)
    assert "deleted before all of it was sent" in "".join(capsys.readouterr())


def test_a_day_that_was_begun_anew_is_sent_from_its_beginning(
    requests: Logging, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    with sending(requests, receiver.url, receiver):
        requests.write(*numbered(0, 5))
        wait_until(lambda: len(receiver.records()) == 5)
    requests.log.close()
    for file in requests.directory.iterdir():
        file.unlink()
    requests.restart()
    requests.write(*numbered(5, 7))
    with sending(requests, receiver.url, receiver):
        wait_until(lambda: len(receiver.records()) == 7)
    assert sent_ids(receiver) == names_of(0, 7)
    assert "was begun anew" in "".join(capsys.readouterr())


def test_requests_of_a_day_that_is_begun_anew_meanwhile_are_told_as_they_are(
    requests: Logging, receiver: Receiver
) -> None:
    with sending(requests, receiver.url, receiver):
        requests.write(a_request("req-0", model="before"), a_request("req-1", model="before"))
        wait_until(lambda: len(receiver.records()) == 2)
        requests.log.close()
        for file in requests.directory.iterdir():
            file.rename(requests.directory.parent / file.name)
        requests.restart()
        requests.write(a_request("req-2", NOON + 1, model="after"))
        wait_until(lambda: len(receiver.records()) == 3)
    told = [attributes(record) for record in receiver.records()]
    assert [each["gen_ai.request.model"] for each in told] == ["before", "before", "after"]
    assert len({each["log.record.uid"] for each in told}) == 3


def test_the_request_log_is_read_while_it_is_written(requests: Logging, receiver: Receiver) -> None:
    with sending(requests, receiver.url, receiver):
        for first in range(0, 2000, 20):
            requests.write(*numbered(first, first + 20))
        wait_until(lambda: len(receiver.records()) >= 2000, 20)
    assert sent_ids(receiver) == names_of(0, 2000)
