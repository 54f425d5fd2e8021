"""Requests as OTLP log records, in the words of the GenAI conventions, version 1.41.

Each is an event `gen_ai.client.inference.operation.details` without what it leaves to choice: the
prompt and the answer, which the request log never had. What the conventions have no word for is
under `llm_gateway.`. The attributes that repeat are made once for each kind of request.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1 import logs_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from exporter.export.otlp.attributes import SCOPE, Value, add_attribute, trace_id_bytes
from exporter.export.otlp.backlog import Piece
from exporter.record import CLIENT_ABORTED
from exporter.requestlog.columns import LATENCY, NUMBER_COLUMNS, START_TIME, NumberColumn, Rows
from exporter.requestlog.names import LoggedKind
from exporter.vocabulary import ERROR_TYPE, MODEL, OPERATION, PROVIDER, STATUS_CODE

EVENT = "gen_ai.client.inference.operation.details"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

MOST_KINDS = 1000
"""Kinds of requests whose attributes are remembered: each takes some 2 KB."""

_NUMBERS: Mapping[str, str] = {
    "latency": "llm_gateway.request.duration",
    "time_to_first_token": "gen_ai.response.time_to_first_chunk",
    "upstream_time": "llm_gateway.upstream.duration",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "total_tokens": "llm_gateway.usage.total_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_output_tokens": "gen_ai.usage.reasoning.output_tokens",
    "images": "llm_gateway.usage.images",
    "seconds": "llm_gateway.usage.seconds",
    "characters": "llm_gateway.usage.characters",
    "cost": "llm_gateway.cost",
    "estimated_cost": "llm_gateway.estimated_cost",
}
"""Attributes by column; durations in seconds."""


@dataclass(frozen=True, slots=True)
class _Severity:
    number: pb.SeverityNumber.ValueType
    text: str


_INFO = _Severity(pb.SEVERITY_NUMBER_INFO, "INFO")
_WARN = _Severity(pb.SEVERITY_NUMBER_WARN, "WARN")
_ERROR = _Severity(pb.SEVERITY_NUMBER_ERROR, "ERROR")


class LogRecords:
    """Makes requests of pieces.

    Args:
        instance_id: of the state; with the row and the start it tells a record that is sent twice.
            The row alone does not: a damaged day that was begun anew has it again.
    """

    def __init__(self, resource: Resource, instance_id: str) -> None:
        self._resource = resource
        self._instance_id = instance_id
        self._kinds: dict[tuple[LoggedKind, tuple[tuple[str, str], ...]], pb.LogRecord] = {}

    def request(self, piece: Piece) -> bytes:
        """A serialized ExportLogsServiceRequest."""
        request = ExportLogsServiceRequest()
        of_resource = request.resource_logs.add(resource=self._resource)
        records = of_resource.scope_logs.add(scope=SCOPE, schema_url=SCHEMA_URL).log_records
        rows = piece.rows
        of_rows: list[Any] = []
        prefix = f"{self._instance_id}:{piece.day}:"
        for row, kind, names, start, end, request_id, trace_id in zip(
            range(piece.first, piece.first + len(rows)),
            rows.kinds.tolist(),
            rows.attributes.tolist(),
            rows.number(START_TIME).tolist(),
            _end_times(rows),
            rows.text("request_id"),
            rows.text("trace_id"),
            strict=True,
        ):
            record = records.add()
            record.CopyFrom(self._kind(piece.kinds[kind], piece.attributes[names]))
            record.time_unix_nano = end
            record.observed_time_unix_nano = end
            attributes = record.attributes
            add_attribute(attributes, "log.record.uid", f"{prefix}{row}:{start}")
            add_attribute(attributes, "llm_gateway.request.start_time", start / 1e6)
            if request_id:
                add_attribute(attributes, "llm_gateway.request.id", request_id)
            if trace_id:
                record.trace_id = trace_id_bytes(trace_id)
                if not record.trace_id:
                    add_attribute(attributes, "llm_gateway.trace.id", trace_id)
            of_rows.append(attributes)
        for column in NUMBER_COLUMNS:
            if column.name in _NUMBERS and column.name in rows.numbers:
                for place, value in _known(rows, column):
                    add_attribute(of_rows[place], _NUMBERS[column.name], value)
        return bytes(request.SerializeToString())

    def _kind(self, kind: LoggedKind, extra: Mapping[str, str]) -> pb.LogRecord:
        key = (kind, tuple(extra.items()))
        found = self._kinds.get(key)
        if found is None:
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            found = self._kinds[key] = _record(kind, extra)
        return found


def _record(kind: LoggedKind, extra: Mapping[str, str]) -> pb.LogRecord:
    """What all requests of a kind have in common."""
    severity = _severity(kind)
    record = pb.LogRecord(
        event_name=EVENT, severity_number=severity.number, severity_text=severity.text
    )
    record.body.string_value = " ".join(
        filter(None, (kind.operation, kind.model, str(kind.status_code), kind.error_type))
    )
    described: dict[str, Value] = {
        OPERATION: kind.operation,
        PROVIDER: kind.provider,
        MODEL: kind.model,
        "gen_ai.response.model": kind.response_model,
        "gen_ai.request.stream": kind.streamed,
        STATUS_CODE: kind.status_code,
        ERROR_TYPE: kind.error_type,
        "llm_gateway.cache_hit": kind.cache_hit,
        "llm_gateway.cost.currency": kind.currency,
        "llm_gateway.estimated_cost.currency": kind.estimate_currency,
        "llm_gateway.source": kind.source,
        **extra,
    }
    for name, value in described.items():
        if value != "":
            add_attribute(record.attributes, name, value)
    if kind.finish_reason:
        reasons = record.attributes.add(key="gen_ai.response.finish_reasons")
        reasons.value.array_value.values.add(string_value=kind.finish_reason)
    return record


def _severity(kind: LoggedKind) -> _Severity:
    """A failure of the client's is a warning, one of the gateway or the model an error."""
    if not kind.error_type:
        return _INFO
    is_the_clients = 400 <= kind.status_code < 500 or kind.error_type == CLIENT_ABORTED
    return _WARN if is_the_clients else _ERROR


def _end_times(rows: Rows) -> list[int]:
    """When requests ended, nanoseconds since 1970; when they began if their latency is unknown."""
    starts = rows.number(START_TIME).astype(np.int64) * 1000
    latencies = rows.number(LATENCY)
    ticks = np.where(latencies == LATENCY.unknown, 0, latencies).astype(np.int64)
    ends: list[int] = (starts + ticks * round(1e9 / LATENCY.steps)).tolist()
    return ends


def _known(rows: Rows, column: NumberColumn) -> Iterator[tuple[int, Value]]:
    """Places and values, where they are known, in the record's unit."""
    stored = rows.number(column)
    places = np.flatnonzero(stored != column.unknown)
    chosen = stored[places]
    values = chosen if column.steps == 1 else chosen / column.steps
    yield from zip(places.tolist(), values.tolist(), strict=True)
