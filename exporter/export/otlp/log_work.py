"""Turns of a destination for logs: a request at a time, out of the request log."""

import time

from exporter.export.otlp.backlog import Backlog
from exporter.export.otlp.log_records import LogRecords
from exporter.export.otlp.memory import Memory
from exporter.export.otlp.metrics import DestinationMetrics
from exporter.export.otlp.sender import Deliver, Refuse
from exporter.export.otlp.transport import DeliveryError
from exporter.requestlog.columns import START_TIME

MOST_RECORDS = 1000
"""Of a request: about half a megabyte."""

POLL_INTERVAL_S = 1.0

SHARE_OF_A_CORE = 0.5
"""What a backlog may take, so that counting and serving go on meanwhile."""


class LogWork:
    """The request log for one destination."""

    def __init__(
        self,
        backlog: Backlog,
        records: LogRecords,
        memory: Memory,
        metrics: DestinationMetrics,
    ) -> None:
        self._backlog = backlog
        self._records = records
        self._memory = memory
        self._metrics = metrics
        self._limit = MOST_RECORDS

    def turn(self, deliver: Deliver, refuse: Refuse) -> float:
        """See `Work`. Records that are refused for good are passed at the pace of the others."""
        began, began_working = time.monotonic(), time.thread_time()
        piece = self._backlog.next(self._limit)
        if piece is None:
            self._metrics.wait(0, None)
            return POLL_INTERVAL_S
        self._metrics.wait(self._backlog.waiting, int(piece.rows.number(START_TIME)[0]) / 1e6)
        try:
            deliver(self._records.request(piece))
        except DeliveryError as error:
            if error.is_too_large and len(piece.rows) > 1:
                self._limit = len(piece.rows) // 2
                return 0.0
            if not error.is_final:
                raise
            refuse(len(piece.rows), str(error))
        else:
            # By one only: each time that this reaches a receiver's limit, a request is refused.
            self._limit = min(MOST_RECORDS, self._limit + 1)
        self._backlog.sent(piece)
        worked_s = time.thread_time() - began_working
        return max(0.0, worked_s / SHARE_OF_A_CORE - (time.monotonic() - began))

    def close(self) -> None:
        """See `Work`."""
        self._memory.close()
