"""What arrives by OTLP: log records and cumulative metrics by gRPC, deltas by HTTP."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks.soak.sent import TICK_S, Requests, Seen
from exporter import vocabulary as v
from tests.export.otlp.receiver import Answer, GrpcReceiver, HttpReceiver, Receiver, attributes

AWAY_EVERY_S, AWAY_S = 120.0, 10.0
"""How often and for how long the endpoints take nothing."""


@dataclass
class Received:
    """What has arrived.

    Attributes:
        told: by the newest cumulative metrics.
        added: the sum of all deltas.
    """

    records: int = 0
    seen: Seen = field(default_factory=Seen)
    told: Requests = field(default_factory=Counter)
    added: Requests = field(default_factory=Counter)


def receive(grpc_port: int, http_port: int, away_until: float, stopping: Event) -> Received:
    """Serve on two ports.

    Args:
        away_until: Unix seconds; the endpoints are away now and then only until this time.
    """
    received = Received()
    with GrpcReceiver(port=grpc_port) as grpc, HttpReceiver(port=http_port) as http:
        while not stopping.wait(TICK_S):
            now = time.time()
            is_away = now % AWAY_EVERY_S < AWAY_S and now < away_until
            grpc.usually = Answer("UNAVAILABLE" if is_away else "")
            http.usually = Answer("503" if is_away else "")
            _take(received, grpc, http)
        _take(received, grpc, http)
    return received


def _take(received: Received, grpc: Receiver, http: Receiver) -> None:
    """Take the requests that have come, so that they do not fill the memory here."""
    while grpc.logs:
        for of_resource in grpc.logs.pop(0).resource_logs:
            for of_scope in of_resource.scope_logs:
                for record in of_scope.log_records:
                    received.records += 1
                    received.seen.see(_request_id(record))
    while grpc.metrics:
        if points := _points(grpc.metrics.pop(0)):
            received.told = _requests(points)
    while http.metrics:
        received.added += _requests(_points(http.metrics.pop(0)))


def _request_id(record: Any) -> str:
    pairs = record.attributes
    id_: str = next(p.value.string_value for p in pairs if p.key == "llm_gateway.request.id")
    return id_


def _points(request: Any) -> list[Any]:
    """Points of the counter of requests."""
    return [
        point
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        if metric.name == v.REQUESTS.name
        for point in metric.sum.data_points
    ]


def _requests(points: Iterable[Any]) -> Requests:
    found: Requests = Counter()
    for point in points:
        described = attributes(point)
        labels = str(described[v.MODEL]), str(described[v.STATUS_CODE])
        found[labels] += round(point.as_double)
    return +found
