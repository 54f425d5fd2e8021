"""OTLP receivers made of opentelemetry-proto's own messages and services, and of bad behaviour."""

import gzip
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)


@dataclass
class Answer:
    """How a receiver meets one request.

    Attributes:
        status: of HTTP; of gRPC the code's name. "" takes the request.
        retry_after_s: asked for with a refusal; of HTTP, text is sent as it is.
        refused: points or records that are not taken, of a request that is.
        hangs: no answer at all, until the receiver ends.
        breaks: the connection is closed in the middle of the answer (HTTP).
    """

    status: str = ""
    retry_after_s: int | str | None = None
    refused: int = 0
    message: str = ""
    hangs: bool = False
    breaks: bool = False


@dataclass
class Receiver:
    """What has arrived, and how the next requests are met.

    Attributes:
        answers: of the next requests, in order; after them, `usually`.
        most_bytes: of a request; a larger one is refused.
        arrived: times of all requests, those that were refused too, by time.monotonic().
        headers: of the last request.
    """

    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)
    usually: Answer = field(default_factory=Answer)
    most_bytes: int = 1 << 30
    arrived: list[float] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    ending: threading.Event = field(default_factory=threading.Event)

    too_large: ClassVar[str]

    def next_answer(self, headers: Mapping[str, str], size: int) -> Answer:
        self.arrived.append(time.monotonic())
        self.headers = headers
        if size > self.most_bytes:
            return Answer(status=self.too_large)
        answer = self.answers.popleft() if self.answers else self.usually
        if answer.hangs:
            self.ending.wait()
        return answer

    def points(self, name: str) -> list[Any]:
        """Points of a metric, in the order in which they came."""
        return [
            point
            for metric in self.all_metrics()
            if metric.name == name
            for point in getattr(metric, str(metric.WhichOneof("data"))).data_points
        ]

    def all_metrics(self) -> Iterator[Any]:
        for request in list(self.metrics):
            for of_resource in request.resource_metrics:
                for of_scope in of_resource.scope_metrics:
                    yield from of_scope.metrics

    def records(self) -> list[Any]:
        """Log records, in the order in which they came."""
        return [
            record
            for request in list(self.logs)
            for of_resource in request.resource_logs
            for of_scope in of_resource.scope_logs
            for record in of_scope.log_records
        ]


def attributes(of: Any) -> dict[str, object]:
    """The attributes of a point, a record or a resource."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


def _metrics_taken(answer: Answer) -> ExportMetricsServiceResponse:
    taken = ExportMetricsServiceResponse()
    if answer.refused:
        taken.partial_success.rejected_data_points = answer.refused
        taken.partial_success.error_message = answer.message
    return taken


def _logs_taken(answer: Answer) -> ExportLogsServiceResponse:
    taken = ExportLogsServiceResponse()
    if answer.refused:
        taken.partial_success.rejected_log_records = answer.refused
        taken.partial_success.error_message = answer.message
    return taken


class HttpReceiver(Receiver):
    """OTLP/HTTP on a free port, or a given one; a context manager."""

    too_large = "413"

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__()
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        scheme = "http"
        if context is not None:
            scheme = "https"
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    receiver: HttpReceiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.receiver.next_answer(headers, len(body))
        if answer.hangs:
            self.close_connection = True
            return
        if answer.status:
            self.send_response(int(answer.status))
            if answer.retry_after_s is not None:
                self.send_header("retry-after", str(answer.retry_after_s))
            self._send(Status(message=answer.message).SerializeToString())
            return
        said = self._take(body, answer)
        self.send_response(200)
        if answer.breaks:
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b"\x0a")
            self.close_connection = True
            return
        self._send(said)

    def _take(self, body: bytes, answer: Answer) -> bytes:
        if self.path.endswith("/v1/metrics"):
            self.receiver.metrics.append(ExportMetricsServiceRequest.FromString(body))
            return _metrics_taken(answer).SerializeToString()
        assert self.path.endswith("/v1/logs")
        self.receiver.logs.append(ExportLogsServiceRequest.FromString(body))
        return _logs_taken(answer).SerializeToString()

    def _send(self, body: bytes) -> None:
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class GrpcReceiver(Receiver):
    """OTLP/gRPC on a free port, or a given one; a context manager."""

    too_large = "RESOURCE_EXHAUSTED"

    def __init__(self, credentials: grpc.ServerCredentials | None = None, port: int = 0) -> None:
        super().__init__()
        self._server = grpc.server(ThreadPoolExecutor(4))
        add_MetricsServiceServicer_to_server(_Metrics(self), self._server)  # type: ignore[no-untyped-call]
        add_LogsServiceServicer_to_server(_Logs(self), self._server)  # type: ignore[no-untyped-call]
        if credentials is None:
            port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.url = f"{'http' if credentials is None else 'https'}://localhost:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self._server.stop(0).wait()

    def meet(self, context: grpc.ServicerContext, size: int) -> Answer:
        headers = {pair[0]: str(pair[1]) for pair in context.invocation_metadata()}
        answer = self.next_answer(headers, size)
        if answer.status:
            code = grpc.StatusCode[answer.status]
            if answer.retry_after_s is not None:
                status = Status(code=code.value[0], message=answer.message)
                info = RetryInfo()
                info.retry_delay.seconds = int(answer.retry_after_s)
                status.details.add().Pack(info)
                context.set_trailing_metadata(
                    (("grpc-status-details-bin", status.SerializeToString()),)
                )
            context.abort(code, answer.message)
        return answer


class _Metrics(MetricsServiceServicer):
    def __init__(self, receiver: GrpcReceiver) -> None:
        self._receiver = receiver

    def Export(  # noqa: N802  # gRPC's name.
        self, request: ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> ExportMetricsServiceResponse:
        answer = self._receiver.meet(context, request.ByteSize())
        self._receiver.metrics.append(request)
        return _metrics_taken(answer)


class _Logs(LogsServiceServicer):
    def __init__(self, receiver: GrpcReceiver) -> None:
        self._receiver = receiver

    def Export(  # noqa: N802  # gRPC's name.
        self, request: ExportLogsServiceRequest, context: grpc.ServicerContext
    ) -> ExportLogsServiceResponse:
        answer = self._receiver.meet(context, request.ByteSize())
        self._receiver.logs.append(request)
        return _logs_taken(answer)
