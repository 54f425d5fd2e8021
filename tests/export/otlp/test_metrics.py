"""Metrics by OTLP, against receivers made of opentelemetry-proto's own services."""

import email.utils
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import grpc
import numpy as np
import pytest
import trustme
from prometheus_client import CollectorRegistry, Gauge

from exporter.export.otlp import metric_work, sender
from exporter.ledger import Additions, Ledger
from exporter.vocabulary import IDENTITY, REQUEST_DURATION, REQUESTS, TOKENS
from tests.counting import Counting, a_kind, a_record, counting
from tests.export.otlp.pushing import endpoint, metric, pushing, values
from tests.export.otlp.receiver import Answer, GrpcReceiver, HttpReceiver, Receiver, attributes
from tests.waiting import free_port, wait_until

TOKENS_EACH = 10


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counting]:
    with counting(tmp_path) as found:
        count(found, 1)
        yield found


@pytest.fixture(params=["http/protobuf", "grpc"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with HttpReceiver() if request.param == "http/protobuf" else GrpcReceiver() as found:
        yield found


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "SHORTEST_RETRY_S", 0.05)
    monkeypatch.setattr(sender, "LONGEST_RETRY_S", 0.2)


def count(counted: Counting, requests: int) -> None:
    counted.commit(
        [a_record(a_kind(), output_tokens=TOKENS_EACH, latency=0.5) for _ in range(requests)]
    )


def protocol(receiver: Receiver) -> str:
    return "grpc" if isinstance(receiver, GrpcReceiver) else "http/protobuf"


def output_tokens(receiver: Receiver) -> list[float]:
    """The values of the counter of output tokens, in the order in which they came."""
    points = receiver.points(TOKENS.name)
    return values([p for p in points if attributes(p)["gen_ai.token.type"] == "output"])


def of_histograms(series: int) -> Ledger:
    """A ledger with so many histograms, some 500 bytes each."""
    ledger, additions = Ledger([REQUEST_DURATION], IDENTITY), Additions()
    family = ledger[REQUEST_DURATION]
    for number in range(series):
        ledger.row(REQUEST_DURATION, (f"model-{number}", "p", "chat", ""))
    additions.add(family, np.arange(series), np.ones((series, family.width)))
    ledger.publish(ledger.changes(additions))
    return ledger


def models_told(receiver: Receiver) -> int:
    """How many have a histogram."""
    points = receiver.points(REQUEST_DURATION.name)
    return len({attributes(point)["gen_ai.request.model"] for point in points})


def names_told(receiver: Receiver) -> set[str]:
    return {metric.name for metric in receiver.all_metrics()}


def test_the_series_arrive_with_who_they_are_of(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    to = endpoint(receiver.url, protocol=protocol(receiver))
    variables = {"OTEL_RESOURCE_ATTRIBUTES": "team=a%20b,service.namespace=llm"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", variables["OTEL_RESOURCE_ATTRIBUTES"])
        with pushing(counted.ledger, tmp_path, to):
            wait_until(lambda: output_tokens(receiver))
    about = attributes(receiver.metrics[0].resource_metrics[0].resource)
    assert about["service.name"] == "llm-gateway-exporter"
    assert about["service.instance.id"] == "instance"
    assert (about["team"], about["service.namespace"]) == ("a b", "llm")
    assert output_tokens(receiver)[0] == TOKENS_EACH
    point = receiver.points(REQUEST_DURATION.name)[0]
    assert (point.count, point.sum) == (1, 0.5)
    assert attributes(point)["gen_ai.request.model"] == "qwen"


def test_what_is_counted_last_is_told_at_the_stop(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    to = endpoint(receiver.url, protocol=protocol(receiver), interval="1h")
    with pushing(counted.ledger, tmp_path, to):
        count(counted, 4)
    assert output_tokens(receiver) == [5 * TOKENS_EACH]


def test_start_times_are_those_of_the_series_and_survive_a_restart(
    receiver: Receiver, tmp_path: Path
) -> None:
    to = endpoint(receiver.url, protocol=protocol(receiver), interval="1h")
    for _ in range(2):
        with counting(tmp_path) as counted:
            count(counted, 1)
            with pushing(counted.ledger, tmp_path, to):
                pass
    first, second = receiver.points(REQUEST_DURATION.name)
    assert first.start_time_unix_nano == second.start_time_unix_nano > 0
    assert first.time_unix_nano < second.time_unix_nano
    assert second.count == 2


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_headers_and_compression_are_as_configured(
    counted: Counting, receiver: Receiver, tmp_path: Path, compression: str
) -> None:
    key = tmp_path / "key"
    key.write_text("Bearer s3cret\n")
    to = endpoint(
        receiver.url,
        protocol=protocol(receiver),
        compression=compression,
        headers={"Authorization": {"file": key}},
    )
    with pushing(counted.ledger, tmp_path, to, environ={"OTEL_EXPORTER_OTLP_HEADERS": "x-a=1%202"}):
        wait_until(lambda: receiver.metrics)
    assert receiver.headers["authorization"] == "Bearer s3cret"
    assert receiver.headers["x-a"] == "1 2"
    if isinstance(receiver, HttpReceiver):
        assert receiver.headers.get("content-encoding", "none") == compression


def test_a_missing_secret_is_a_failure_that_mends_itself(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    headers = {"authorization": {"file": key}}
    to = endpoint(receiver.url, protocol=protocol(receiver), headers=headers)
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: metric(registry, "failures_total", reason="secret"))
        key.write_text("here now")
        wait_until(lambda: receiver.metrics)
    assert receiver.headers["authorization"] == "here now"


class Authority:
    """A certificate authority, with `ca.pem` and what it issued to us in files.

    `both.pem` holds our key and our certificate.
    """

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(directory / "ca.pem")
        ours = self._ca.issue_cert("exporter")
        ours.private_key_pem.write_to_path(directory / "key.pem")
        ours.cert_chain_pems[0].write_to_path(directory / "cert.pem")
        ours.private_key_and_cert_chain_pem.write_to_path(directory / "both.pem")

    def receiver(self, kind: str) -> HttpReceiver | GrpcReceiver:
        """One that asks for a certificate of this authority."""
        server = self._ca.issue_cert("127.0.0.1", "localhost")
        if kind == "grpc":
            pair = server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes()
            return GrpcReceiver(
                grpc.ssl_server_credentials(
                    [pair], self._ca.cert_pem.bytes(), require_client_auth=True
                )
            )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.configure_cert(context)
        self._ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return HttpReceiver(context)


TLS_FAILURES = {"grpc": "UNAVAILABLE", "http/protobuf": "tls"}


@pytest.mark.parametrize("kind", TLS_FAILURES)
def test_tls_with_a_certificate_of_ours(counted: Counting, tmp_path: Path, kind: str) -> None:
    files = {name: tmp_path / f"{name[:-5]}.pem" for name in ("ca_file", "cert_file", "key_file")}
    with Authority(tmp_path).receiver(kind) as receiver:
        with pushing(counted.ledger, tmp_path, endpoint(receiver.url, protocol=kind, tls=files)):
            wait_until(lambda: receiver.metrics)
        without = endpoint(receiver.url, protocol=kind, timeout="500ms")
        with pushing(counted.ledger, tmp_path, without) as registry:
            wait_until(lambda: metric(registry, "failures_total", reason=TLS_FAILURES[kind]))


SEND = """
import json, sys
from exporter.export.otlp.config import OtlpConfig
from exporter.export.otlp.push import transport
from exporter.export.otlp.settings import destination
from exporter.export.otlp.transport import DeliveryError

to = destination(OtlpConfig.model_validate(json.loads(sys.argv[1])), "metrics", {})
try:
    transport(to).send(b"", 5)
except DeliveryError as error:
    print(error)
else:
    print("taken")
"""


def sent_by_another_process(receiver: Receiver, directory: Path, **files: str) -> str:
    """What became of a request; gRPC ends a process whose certificates it does not like."""
    tls = {name: str(directory / file) for name, file in files.items()}
    to = {"endpoint": receiver.url, "protocol": protocol(receiver), "tls": tls}
    command = [sys.executable, "-c", SEND, json.dumps(to)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().replace(f"{directory}/", "")


@pytest.mark.parametrize("kind", TLS_FAILURES)
def test_the_key_may_stand_with_the_certificate(tmp_path: Path, kind: str) -> None:
    with Authority(tmp_path).receiver(kind) as receiver:
        told = sent_by_another_process(receiver, tmp_path, ca_file="ca.pem", cert_file="both.pem")
    assert told == "taken"


@pytest.mark.parametrize(
    ("cert", "key", "problem"),
    [
        ("cert.pem", None, "tls: cert.pem holds no PRIVATE KEY in PEM form"),
        ("cert.pem", "empty", "tls: empty holds no PRIVATE KEY in PEM form"),
        ("empty", "key.pem", "tls: empty holds no CERTIFICATE in PEM form"),
    ],
)
def test_a_file_without_its_key_or_certificate_is_a_failure_of_grpc_and_no_more(
    tmp_path: Path, cert: str, key: str | None, problem: str
) -> None:
    (tmp_path / "empty").touch()
    files = {"cert_file": cert, **({"key_file": key} if key else {})}
    with Authority(tmp_path).receiver("grpc") as receiver:
        told = sent_by_another_process(receiver, tmp_path, ca_file="ca.pem", **files)
    assert told == problem


@pytest.mark.parametrize("kind", TLS_FAILURES)
def test_certificates_may_be_replaced_while_it_runs(
    counted: Counting, tmp_path: Path, kind: str
) -> None:
    files = {name: tmp_path / f"{name[:-5]}.pem" for name in ("ca_file", "cert_file", "key_file")}
    Authority(tmp_path)  # Of another receiver.
    (tmp_path / "next").mkdir()
    with Authority(tmp_path / "next").receiver(kind) as receiver:
        to = endpoint(receiver.url, protocol=kind, tls=files, timeout="1s")
        with pushing(counted.ledger, tmp_path, to) as registry:
            wait_until(lambda: metric(registry, "failures_total", reason=TLS_FAILURES[kind]))
            for file in files.values():
                file.write_bytes((tmp_path / "next" / file.name).read_bytes())
            wait_until(lambda: receiver.metrics)


def test_a_request_that_is_refused_for_good_does_not_keep_the_others_from_going(
    counted: Counting,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(metric_work, "REQUEST_BYTES", 1)  # A request for each instrument.
    monkeypatch.setattr(sender, "SHORTEST_RETRY_S", 60)
    monkeypatch.setattr(sender, "LONGEST_RETRY_S", 60)
    bad = Answer(status=refusal(receiver), message="no such name")
    receiver.answers.extend([bad, Answer(), Answer()])
    to = endpoint(receiver.url, protocol=protocol(receiver))
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: receiver.metrics)
        receiver.answers.append(bad)
        wait_until(lambda: metric(registry, "failures_total", reason=bad.status) == 2)
        arrived = len(receiver.metrics)
        count(counted, 1)
    assert output_tokens(receiver)[-1] == 2 * TOKENS_EACH  # Told at the stop.
    assert len(receiver.metrics) > arrived
    told = [line for line in "".join(capsys.readouterr()).splitlines() if "no such name" in line]
    assert len(told) == 1
    assert "refused for good" in told[0]


def test_what_is_refused_for_good_is_not_delivered(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.usually = Answer(status=refusal(receiver))
    to = endpoint(receiver.url, protocol=protocol(receiver))
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: len(receiver.arrived) > 3)
        refused, age = (metric(registry, n) for n in ("refused_total", "oldest_unsent_age_seconds"))
    assert refused is not None
    assert age is not None
    assert refused > 10  # Those about the exporter are points too.
    assert age > 0.3


@pytest.mark.parametrize("most_bytes", [50_000, 200_000])
def test_a_receiver_that_takes_less_gets_less_at_a_time(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(sender, "SHORTEST_RETRY_S", 60)
    receiver.most_bytes = most_bytes
    ledger = of_histograms(4000)
    to = endpoint(receiver.url, protocol=protocol(receiver), interval="200ms")
    with pushing(ledger, tmp_path, to) as registry:
        wait_until(lambda: models_told(receiver) == 4000)
        wait_until(lambda: "llm_gateway_exporter_otlp_queued" in names_told(receiver))
        assert metric(registry, "refused_total") == 0
    refused = len(receiver.arrived) - len(receiver.metrics)
    assert refused <= 6


def test_requests_stay_below_a_mebibyte(receiver: Receiver, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    about = Gauge("about_itself", "Something.", ["number"], registry=registry)
    for number in range(2000):
        about.labels(f"{'n' * 80} {number}").set(1)
    to = endpoint(receiver.url, protocol=protocol(receiver))
    with pushing(of_histograms(4000), tmp_path, to, registry=registry):
        wait_until(lambda: "about_itself" in names_told(receiver))
    sizes = [request.ByteSize() for request in receiver.metrics]
    assert len(sizes) > 1
    assert max(sizes) < 1 << 20


def test_deltas_add_up_over_a_failure_and_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    to = endpoint(receiver.url, protocol=protocol(receiver), temporality="delta")
    with counting(tmp_path) as counted:
        count(counted, 1)
        with pushing(counted.ledger, tmp_path, to):
            wait_until(lambda: sum(output_tokens(receiver)) == TOKENS_EACH)
            receiver.usually = Answer(status=unavailable(receiver))
            refused = len(receiver.arrived)
            count(counted, 2)
            wait_until(lambda: len(receiver.arrived) > refused + 1)
        count(counted, 3)
    receiver.usually = Answer()
    with counting(tmp_path) as counted, pushing(counted.ledger, tmp_path, to):
        wait_until(lambda: sum(output_tokens(receiver)) == 6 * TOKENS_EACH)
        count(counted, 4)
        wait_until(lambda: sum(output_tokens(receiver)) == 10 * TOKENS_EACH)
    points = receiver.points(REQUEST_DURATION.name)
    assert [point.count for point in points] == [1, 5, 4]
    assert sum(point.sum for point in points) == pytest.approx(10 * 0.5)
    windows = [(point.start_time_unix_nano, point.time_unix_nano) for point in points]
    assert windows[0][1] == windows[1][0]
    assert windows[1][1] == windows[2][0]


def test_nothing_is_lost_or_doubled_while_a_receiver_misbehaves(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    busy = Answer(status=unavailable(receiver), message="later")
    receiver.answers.extend([busy, Answer(), busy, busy, Answer(refused=3, message="too old")])
    if isinstance(receiver, HttpReceiver):
        receiver.answers.extend([Answer(breaks=True), Answer(status="429")])
    else:
        receiver.answers.extend([Answer(status="RESOURCE_EXHAUSTED"), Answer(status="UNKNOWN")])
    with pushing(
        counted.ledger, tmp_path, endpoint(receiver.url, protocol=protocol(receiver))
    ) as registry:
        for _ in range(5):
            count(counted, 1)
            time.sleep(0.05)  # Load, while the receiver comes and goes.
        wait_until(lambda: not receiver.answers)
        wait_until(lambda: output_tokens(receiver)[-1] == 6 * TOKENS_EACH)
        assert metric(registry, "refused_total") == 3
        assert metric(registry, "failures_total", reason=unavailable(receiver)) == 3
    told = output_tokens(receiver)
    assert told == sorted(told)
    requests = [point for point in receiver.points(REQUESTS.name) if point.as_double]
    assert {point.as_double for point in requests[-1:]} == {6}


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers.append(Answer(status=unavailable(receiver), retry_after_s=1))
    with pushing(counted.ledger, tmp_path, endpoint(receiver.url, protocol=protocol(receiver))):
        wait_until(lambda: receiver.metrics)
    refused, taken = receiver.arrived[:2]
    assert taken - refused >= 1


def test_a_receiver_may_say_until_when_it_wants_to_be_left_alone(
    counted: Counting, tmp_path: Path
) -> None:
    with HttpReceiver() as receiver:
        until = email.utils.formatdate(time.time() + 2, usegmt=True)  # In whole seconds.
        receiver.answers.append(Answer(status="503", retry_after_s=until))
        with pushing(counted.ledger, tmp_path, endpoint(receiver.url)):
            wait_until(lambda: receiver.metrics)
    refused, taken = receiver.arrived[:2]
    assert taken - refused > 0.8


@pytest.mark.parametrize("nonsense", ["soon", "-5", "nan", "inf", "1e400"])
def test_a_retry_after_that_makes_no_sense_is_ignored(
    counted: Counting, tmp_path: Path, nonsense: str
) -> None:
    with HttpReceiver() as receiver:
        receiver.answers.append(Answer(status="503", retry_after_s=nonsense))
        with pushing(counted.ledger, tmp_path, endpoint(receiver.url)):
            wait_until(lambda: receiver.metrics)


def test_histograms_may_be_exponential(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    to = endpoint(receiver.url, protocol=protocol(receiver), histograms="exponential")
    with pushing(counted.ledger, tmp_path, to):
        wait_until(lambda: receiver.metrics)
    kinds = {metric.name: metric.WhichOneof("data") for metric in receiver.all_metrics()}
    assert kinds[REQUEST_DURATION.name] == "exponential_histogram"
    point = receiver.points(REQUEST_DURATION.name)[0]
    assert (point.count, point.sum, sum(point.positive.bucket_counts)) == (1, 0.5, 1)


def test_a_receiver_that_hangs_is_given_up_and_holds_nothing_up(
    counted: Counting, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.usually = Answer(hangs=True)
    to = endpoint(receiver.url, protocol=protocol(receiver), timeout="200ms")
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: metric(registry, "failures_total", reason="timeout"))
        age = metric(registry, "oldest_unsent_age_seconds")
        assert age is not None
        assert age > 0.2
    slow = endpoint(receiver.url, protocol=protocol(receiver), timeout="5m")
    with pushing(counted.ledger, tmp_path, slow):
        arrived = len(receiver.arrived)
        wait_until(lambda: len(receiver.arrived) > arrived)
        began = time.monotonic()
    assert time.monotonic() - began < 3


def test_an_endpoint_that_is_away_gets_the_newest_state_when_it_is_back(
    counted: Counting, tmp_path: Path
) -> None:
    port = free_port()
    to = endpoint(f"http://127.0.0.1:{port}")
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: metric(registry, "failures_total", reason="connection"))
        count(counted, 1)
        with HttpReceiver(port=port) as receiver:
            wait_until(lambda: output_tokens(receiver))
            assert output_tokens(receiver)[0] == 2 * TOKENS_EACH


def test_thousands_of_series_arrive_whole(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_work, "REQUEST_BYTES", 3 << 20)
    to = endpoint(receiver.url, protocol=protocol(receiver))
    with pushing(of_histograms(4000), tmp_path, to):
        wait_until(lambda: receiver.metrics)
    assert receiver.metrics[0].ByteSize() > 1 << 20
    assert models_told(receiver) == 4000


def test_several_endpoints_do_not_wait_for_each_other(counted: Counting, tmp_path: Path) -> None:
    with HttpReceiver() as stuck, HttpReceiver() as well:
        stuck.usually = Answer(hangs=True)
        endpoints = [endpoint(each.url, name=f"n{i}") for i, each in enumerate((stuck, well))]
        with pushing(counted.ledger, tmp_path, *endpoints):
            wait_until(lambda: len(well.metrics) >= 3)
        stuck.ending.set()


@pytest.mark.parametrize(
    ("header", "quoted"),
    [
        ("s3cret", "no such key: s3cret"),
        ("Bearer s3cret", "no such key: s3cret"),
        ("s3cret", f"no such key: {'-' * 183} s3cret"),
    ],
    ids=["as it is", "without its scheme", "where the message is cut"],
)
def test_a_key_that_the_receiver_quotes_is_not_logged(
    counted: Counting,
    receiver: Receiver,
    header: str,
    quoted: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = tmp_path / "key"
    key.write_text(header)
    status = "401" if isinstance(receiver, HttpReceiver) else "UNAUTHENTICATED"
    receiver.usually = Answer(status=status, message=quoted)
    headers = {"authorization": {"file": key}}
    to = endpoint(receiver.url, protocol=protocol(receiver), headers=headers)
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: metric(registry, "failures_total", reason=status))
    written = "".join(capsys.readouterr())
    assert "no such key" in written
    assert "s3c" not in written


@pytest.mark.parametrize("header", ["s3cret\n", "s3crét", "s3cret\0"])
def test_a_key_that_cannot_be_sent_is_a_failure_and_not_logged(
    counted: Counting, tmp_path: Path, header: str, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote(header)}"}
    with GrpcReceiver() as receiver:
        to = endpoint(receiver.url, protocol="grpc")
        with pushing(counted.ledger, tmp_path, to, environ=variables) as registry:
            wait_until(lambda: metric(registry, "failures_total", reason="secret"))
            assert metric(registry, "refused_total") == 0
    written = "".join(capsys.readouterr())
    assert "gRPC" in written
    assert "s3c" not in written


def test_what_grpc_says_of_headers_is_not_logged(
    counted: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refusing:
        def future(self, request: bytes, **_: object) -> None:
            raise ValueError("metadata was invalid: s3cret")

    def refuse(_channel: object, _method: str) -> Refusing:
        return Refusing()

    monkeypatch.setattr("grpc._channel.Channel.unary_unary", refuse)
    to = endpoint("http://localhost:1", protocol="grpc")
    with pushing(counted.ledger, tmp_path, to) as registry:
        wait_until(lambda: metric(registry, "failures_total", reason="connection"))
    assert "s3c" not in "".join(capsys.readouterr())


def test_the_metrics_of_a_destination_end_with_it(counted: Counting, tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with (
        HttpReceiver() as receiver,
        pushing(counted.ledger, tmp_path, endpoint(receiver.url), registry=registry),
    ):
        wait_until(lambda: receiver.metrics)
        assert metric(registry, "queued") == 0
    assert metric(registry, "queued") is None
    exports = metric(registry, "exports_total")
    assert exports is not None
    assert exports >= 1


def unavailable(receiver: Receiver) -> str:
    return "503" if isinstance(receiver, HttpReceiver) else "UNAVAILABLE"


def refusal(receiver: Receiver) -> str:
    return "400" if isinstance(receiver, HttpReceiver) else "INVALID_ARGUMENT"
