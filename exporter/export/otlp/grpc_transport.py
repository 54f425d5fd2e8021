"""OTLP over gRPC (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from exporter import __version__
from exporter.errors import SecretError
from exporter.export.otlp.settings import Destination
from exporter.export.otlp.transport import DeliveryError, Receipt, quoted_message, receipt

_METHODS = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}

_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INTERNAL,
    }
)
"""Codes by which the request itself is at fault. Others are of the way or of a wrong setup."""


_NAME = re.compile("[0-9a-z_.-]+")
"""Of a header: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Custom-Metadata."""


class _Call(Protocol):
    """A gRPC method whose call can be cancelled."""

    def future(
        self, request: bytes, timeout: float, metadata: tuple[tuple[str, str], ...]
    ) -> "grpc.Future[bytes]": ...


class GrpcTransport:
    """A channel that is made anew after each failure: addresses and certificates change."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._channel: grpc.Channel | None = None
        self._guard = threading.Lock()

    def send(self, request: bytes, timeout_s: float) -> Receipt:
        """See `Transport`."""
        headers: dict[str, str] = {}
        try:
            headers = self._destination.all_headers()
            metadata = _metadata(headers)
            call: _Call = self._open().unary_unary(_METHODS[self._destination.signal])
            answer = call.future(request, timeout=timeout_s, metadata=metadata)
            return receipt(self._destination.signal, answer.result())
        except grpc.FutureCancelledError:
            raise DeliveryError("stopped") from None
        except grpc.RpcError as error:
            if self._channel is None:
                raise DeliveryError("stopped") from None
            self.abort()
            raise _refusal(error, headers.values()) from None
        except SecretError as error:
            raise DeliveryError("secret", str(error)) from None
        except OSError as error:
            self.abort()
            raise DeliveryError("connection", str(error)) from None
        except ValueError:  # Closed by `abort` between two calls, or headers: it would quote them.
            self.abort()
            raise DeliveryError("connection", "gRPC did not take the call") from None

    def abort(self) -> None:
        """See `Transport`."""
        with self._guard:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _open(self) -> grpc.Channel:
        with self._guard:
            if self._channel is None:
                self._channel = self._connected()
            return self._channel

    def _connected(self) -> grpc.Channel:
        destination = self._destination
        target = urlsplit(destination.url).netloc
        options = [("grpc.primary_user_agent", f"llm-gateway-exporter/{__version__}")]
        compression = grpc.Compression.Gzip if destination.gzip else None
        if not destination.is_encrypted:
            return grpc.insecure_channel(target, options, compression)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_content(destination.ca_file, "CERTIFICATE"),
            private_key=_content(destination.key_file or destination.cert_file, "PRIVATE KEY"),
            certificate_chain=_content(destination.cert_file, "CERTIFICATE"),
        )
        return grpc.secure_channel(target, credentials, options, compression)


def _metadata(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Headers that gRPC can send; others are INTERNAL to it, as if the request were at fault.

    Raises:
        SecretError: there are others; the text does not show them.
    """
    for name, value in headers.items():
        if not (_NAME.fullmatch(name) and value.isascii() and value.isprintable()):
            raise SecretError("a header holds what gRPC cannot send; it takes printable ASCII")
    return tuple(headers.items())


def _content(path: Path | None, what: str) -> bytes | None:
    """A PEM file, read once and looked into: gRPC ends the process over one without its key."""
    if path is None:
        return None
    content = path.read_bytes()
    if f"{what}-----".encode() not in content:
        raise DeliveryError("tls", f"{path} holds no {what} in PEM form")
    return content


def _refusal(error: grpc.RpcError, headers: Iterable[str]) -> DeliveryError:
    """Which codes may be tried again: section "Failures" of OTLP/gRPC.

    RESOURCE_EXHAUSTED without RetryInfo is what servers say to a message that is too large; one
    that means something else gets the same records again, a few at a time.
    """
    code: grpc.StatusCode = error.code()
    retry_after_s = _retry_after_s(error)
    is_too_large = code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_s is None
    return DeliveryError(
        "timeout" if code is grpc.StatusCode.DEADLINE_EXCEEDED else code.name,
        quoted_message(str(error.details() or ""), headers),
        is_final=code in _FINAL,
        is_too_large=is_too_large,
        retry_after_s=retry_after_s,
    )


def _retry_after_s(error: grpc.RpcError) -> float | None:
    """The delay of a RetryInfo among the details of the status."""
    trailing = cast("Sequence[tuple[str, bytes]] | None", error.trailing_metadata())
    for key, value in trailing or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None
