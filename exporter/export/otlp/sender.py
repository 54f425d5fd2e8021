"""A thread that sends to one destination, and leaves it alone for a while when that fails."""

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from exporter.export.otlp.metrics import DestinationMetrics
from exporter.export.otlp.settings import Destination
from exporter.export.otlp.transport import MOST_CHARACTERS, DeliveryError, Transport
from exporter.logs import error_text

log = structlog.get_logger(__name__)

SHORTEST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
MOST_RETRY_AFTER_S = 3600.0
"""A receiver that asks for more has a wrong clock."""

LAST_TIMEOUT_S = 1.0
"""For what is still to be sent when the daemon stops."""

SHORTEST_SILENCE_S = 60.0
"""Between two lines about what is refused: each may have a reason of its own, such as its age."""

Deliver = Callable[[bytes], None]
"""Sends a request; raises DeliveryError."""

Refuse = Callable[[int, str], None]
"""Notes that so many points or records are refused for good, and why."""


class Work(Protocol):
    """What there is to send."""

    def turn(self, deliver: Deliver, refuse: Refuse) -> float:
        """Send what there is; the seconds until the next turn.

        Raises:
            DeliveryError: a request was not taken; the next turn begins with what it held.
        """
        ...

    def close(self) -> None:
        """There will be no further turn."""
        ...


class Sender:
    """Runs from `start` to `stop`, whatever happens in between: it has nobody to fail to."""

    def __init__(
        self,
        destination: Destination,
        work: Work,
        transport: Transport,
        metrics: DestinationMetrics,
        first_wait_s: float,
    ) -> None:
        self._name = f"{destination.name} {destination.signal}"
        self._work = work
        self._transport = transport
        self._metrics = metrics
        self._timeout_s = destination.timeout_s
        self._first_wait_s = first_wait_s
        self._retry_s = 0.0
        self._told_refusal: str | None = None
        self._told_refusal_at = -math.inf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"otlp {self._name}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what there is, if the destination takes it; end soon. Does not wait."""
        self._stopping.set()

    def join(self, limit_s: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def abort(self) -> None:
        """Give up what is on its way."""
        self._transport.abort()

    def _run(self) -> None:
        wait_s = self._first_wait_s
        while not self._stopping.wait(wait_s):
            wait_s = self._turn()
        if not self._retry_s:
            self._timeout_s = min(self._timeout_s, LAST_TIMEOUT_S)
            self._turn()
        self._work.close()
        self._transport.abort()
        self._metrics.remove()

    def _turn(self) -> float:
        """One turn; the seconds until the next."""
        try:
            wait_s = self._work.turn(self._deliver, self._refuse)
        except DeliveryError as error:
            return self._failed(error)
        except Exception as error:
            failure = DeliveryError("internal", error_text(error))
            self._metrics.failed(failure)
            return self._failed(failure)
        if self._retry_s:
            self._retry_s = 0.0
            log.info("otlp: answers again", destination=self._name)
        return wait_s

    def _deliver(self, request: bytes) -> None:
        try:
            receipt = self._transport.send(request, self._timeout_s)
        except DeliveryError as error:
            self._metrics.failed(error)
            raise
        self._metrics.took()
        if receipt.refused:
            self._refuse(receipt.refused, receipt.message)

    def _refuse(self, count: int, reason: str) -> None:
        self._metrics.refuse(count)
        now = time.monotonic()
        if reason != self._told_refusal and now - self._told_refusal_at >= SHORTEST_SILENCE_S:
            self._told_refusal, self._told_refusal_at = reason, now
            log.warning(
                "otlp: refused for good",
                destination=self._name,
                refused=count,
                reason=reason[:MOST_CHARACTERS],
            )

    def _failed(self, error: DeliveryError) -> float:
        """Twice as long after each failure, apart from others that failed at the same time."""
        if not self._retry_s and error.reason != "stopped":
            log.warning(
                "otlp: not delivered, tried again until it is",
                destination=self._name,
                reason=error.reason,
                message=error.message,
            )
        self._retry_s = min(LONGEST_RETRY_S, max(2 * self._retry_s, SHORTEST_RETRY_S))
        wait_s = self._retry_s * random.uniform(0.8, 1.2)  # noqa: S311  # It guards no secret.
        return max(wait_s, min(error.retry_after_s or 0.0, MOST_RETRY_AFTER_S))
