"""The bookkeeping of one exchange. Whatever goes wrong here must not be felt by the traffic."""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Protocol, TypeVar

import structlog

from exporter.record import Record
from exporter.sources.proxy import headers as h
from exporter.sources.proxy.apis import TASK, Api, Asked, path_class, task_of
from exporter.sources.proxy.backlog import Backlog
from exporter.sources.proxy.known_event import KnownEvent
from exporter.sources.proxy.metrics import Level, ProxyMetrics
from exporter.sources.proxy.observation import Caller, Ending, Observation
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.tasks import Tasks
from exporter.sources.proxy.upstream import Answer

log = structlog.get_logger(__name__)

T = TypeVar("T")

FINGERPRINT_DIGITS = 12

LONGEST_ATTRIBUTE = 256

RATE_LIMITS = {
    b"x-ratelimit-remaining-requests": "request",
    b"x-ratelimit-remaining-tokens": "token",
    b"anthropic-ratelimit-requests-remaining": "request",
    b"anthropic-ratelimit-tokens-remaining": "token",
}
"""Headers by which providers say what is left, and of what."""


class Sink(Protocol):
    """Takes records; False where there is no room."""

    def offer(self, item: Record) -> bool: ...


@dataclass(frozen=True, slots=True)
class Books:
    """What the watches of a proxy share.

    Attributes:
        attributes: header, in lower case, of each attribute of a record; b"" for none.
        fingerprint: number of the attribute that takes the key's fingerprint, and the HMAC's key.
        most_copied: bytes of a body that are looked into.
    """

    source: str
    attributes: tuple[bytes, ...]
    fingerprint: tuple[int, bytes] | None
    most_copied: int
    tasks: Tasks
    backlog: Backlog
    sink: Sink
    metrics: ProxyMetrics

    def caller(self, found: Mapping[bytes, bytes], provider: str, request_id: bytes) -> Caller:
        """Who asks, by the headers."""
        traceparent = found.get(b"traceparent")
        return Caller(
            request_id.decode(),
            h.trace_id(traceparent) if traceparent else "",
            provider,
            time.time(),
            self._values(found) if self.attributes else (),
        )

    def _values(self, found: Mapping[bytes, bytes]) -> tuple[str, ...]:
        values = [
            found.get(name, b"").decode("utf-8", "replace")[:LONGEST_ATTRIBUTE]
            for name in self.attributes
        ]
        if self.fingerprint is not None:
            place, secret = self.fingerprint
            key = found.get(b"authorization") or found.get(b"x-api-key") or b""
            digest = hmac.digest(secret, key.removeprefix(b"Bearer "), "sha256") if key else b""
            values[place] = digest.hex()[:FINGERPRINT_DIGITS]
        return tuple(values)


class Watch:
    """Counts one exchange, from the moment that it is made.

    Args:
        provider: in series; "" for that of the API.
    """

    def __init__(
        self,
        books: Books,
        api: Api,
        request: Request,
        provider: str,
        request_id: bytes,
    ) -> None:
        self._began = perf_counter()
        self._books = books
        self._api = api
        self._request = request
        self._provider = provider or api.family
        caller = books.caller(request.found, self._provider, request_id)
        self._observation = Observation(Asked(api), caller, books.most_copied)
        self._unseen: tuple[Answer, bytes] | None = None
        self._counts = True
        self._active: Level | None = None

    def request(self, body: bytes) -> None:
        """The request's body is there, whole."""
        self._count(self._take_request, body)

    def _take_request(self, body: bytes) -> None:
        found = self._request.found
        self._observation.take_request(
            body, found.get(b"content-type", b""), found.get(b"content-encoding", b"")
        )

    def sent(self) -> None:
        """The request goes to the upstream."""
        model = self._observation.asked.model
        gauges = self._books.metrics.gauges
        self._active = gauges.active(model, self._provider, self._api.operation)
        self._active.count += 1

    def answer(self, answer: Answer) -> None:
        """The answer's head is there."""
        self._count(self._take_head, answer)

    def _take_head(self, answer: Answer) -> None:
        found = answer.found
        self._observation.take_head(
            answer.status,
            answer.content_type,
            found.get(b"content-encoding", b""),
        )
        if not RATE_LIMITS.keys().isdisjoint(found):
            self._take_rate_limits(found)

    def _take_rate_limits(self, found: Mapping[bytes, bytes]) -> None:
        for name in RATE_LIMITS.keys() & found.keys():
            if found[name].isdigit():
                model, operation = self._observation.asked.model, self._api.operation
                self._books.metrics.gauges.remains(
                    model, self._provider, operation, RATE_LIMITS[name], float(found[name])
                )

    def part(self, data: bytes) -> None:
        """A part of the answer is on its way."""
        if self._counts:
            try:  # As `_count` does, with two calls less for each of a stream's events.
                self._observation.take_part(data, perf_counter() - self._began)
            except Exception as error:
                self._cannot_count(error)

    @property
    def known_event(self) -> KnownEvent | None:
        """An event that need not be seen when it comes again, but as a part as it was sent."""
        return self._observation.known_event if self._counts else None

    def whole_answer(self, answer: Answer, data: bytes) -> None:
        """An answer has gone through at once: there is time to look at it in the end."""
        self._unseen = answer, data

    def opening(self, data: bytes) -> None:
        """The client's first message in a WebSocket is on its way."""
        self._count(self._observation.take_opening, data)

    def message(self, data: bytes) -> None:
        """A message of the upstream's in a WebSocket is on its way."""
        self._count(self._observation.take_message, data)

    def switched(self) -> None:
        """The upstream agreed to a WebSocket: the session is one request, and so far a success."""
        self._count(self._observation.take_session, self._request.query)

    def error(self, status: int, error_type: str) -> None:
        """The answer is the proxy's own."""
        self._observation.take_error(status, error_type)

    def end(self, ending: Ending) -> None:
        """The exchange is over: its record goes on."""
        if self._active is not None:
            self._active.count -= 1
        self._took_s = perf_counter() - self._began
        record = partial(self._count, self._record, ending)
        held = len(self._unseen[1]) if self._unseen else self._observation.held_bytes
        self._books.backlog.add(record, held)

    def _record(self, ending: Ending) -> None:
        if self._unseen is not None:
            answer, data = self._unseen
            self._take_head(answer)
            self._observation.take_part(data, self._took_s)
        source, metrics = self._books.source, self._books.metrics
        if not self._api.is_known:
            metrics.passed.labels(source, path_class(self._request.path)).inc()
            return
        record = self._observation.end(ending, self._took_s)
        if self._observation.unparsed:
            metrics.unparsed.labels(source).inc(self._observation.unparsed)
        if not record.kind.error_type and self._api is not TASK:
            metrics.gauges.succeeded(record.kind.model)
        counted = self._counted_now(record)
        if counted is not None and not self._books.sink.offer(counted):
            metrics.records_lost.labels(source).inc()

    def _counted_now(self, record: Record) -> Record | None:
        """The record, but one of an asynchronous call counts when the call is done."""
        findings = self._observation.findings
        if self._api is TASK:
            return self._books.tasks.look(task_of(self._request.path), findings, record)
        if findings.task and not record.kind.error_type:
            return self._books.tasks.begin(findings.task, record)
        return record

    def _count(self, step: Callable[[T], None], seen: T) -> None:
        """Take a step, unless one before it has failed."""
        if not self._counts:
            return
        try:
            step(seen)
        except Exception as error:
            self._cannot_count(error)

    def _cannot_count(self, error: Exception) -> None:
        self._counts = False
        self._books.metrics.accounting_failures.labels(self._books.source).inc()
        log.error(
            "a request went through and cannot be counted",
            source=self._books.source,
            error=type(error).__name__,
        )
