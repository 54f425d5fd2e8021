"""What a transport does, whichever the protocol: send bytes, and tell what became of them.

The exporters of opentelemetry-exporter-otlp are not used. They answer "success" or "failure" only:
what a receiver refused (partial success), when it wants to be asked again and why it failed are
lost in them, and for 10,000 points they take twenty times the processor time (docs/otlp.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from exporter.export.otlp.settings import Signal


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receiver says about a request that it took.

    Attributes:
        refused: points or records that it did not take; they must not be sent again.
        message: why, in its words.
    """

    refused: int = 0
    message: str = ""


def receipt(signal: Signal, answer: bytes) -> Receipt:
    """What a serialized Export…ServiceResponse says; one that is none says that all was taken."""
    try:
        if signal == "metrics":
            points = ExportMetricsServiceResponse.FromString(answer).partial_success
            return Receipt(points.rejected_data_points, points.error_message)
        records = ExportLogsServiceResponse.FromString(answer).partial_success
        return Receipt(records.rejected_log_records, records.error_message)
    except DecodeError:
        return Receipt()  # Such as `{}` or "OK" of receivers that speak OTLP by half.


MOST_CHARACTERS = 200
"""Of what a receiver says about its refusal."""


def quoted_message(text: str, headers: Iterable[str]) -> str:
    """What a receiver says, without the keys in these headers' values, which it may quote."""
    for value in headers:
        for secret in (value, value.rpartition(" ")[2]):  # All of it, or without its scheme.
            text = text.replace(secret, "…") if secret else text
    return " ".join(text.split())[:MOST_CHARACTERS]


class DeliveryError(Exception):
    """A request was not taken, or nobody knows whether it was.

    Attributes:
        reason: in a word or a status code, for a metric's label.
        message: in the receiver's words, or the system's.
        is_final: the request itself is at fault; it would be refused again.
        is_too_large: so it is, but a part of it might be taken.
        retry_after_s: how long the receiver wants to be left alone.
    """

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        is_final: bool = False,
        is_too_large: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.message = message
        self.is_final = is_final
        self.is_too_large = is_too_large
        self.retry_after_s = retry_after_s


class Transport(Protocol):
    """Sends requests to one destination, one at a time; used by one thread, but for `abort`."""

    def send(self, request: bytes, timeout_s: float) -> Receipt:
        """Send a serialized Export…ServiceRequest.

        Raises:
            DeliveryError: it was not taken.
        """
        ...

    def abort(self) -> None:
        """Let a `send` that runs in another thread fail now."""
        ...
