"""Requests for tests of the request log, and a log to write them to as the pipeline does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
from prometheus_client import CollectorRegistry

from exporter.record import Kinds, Record
from exporter.requestlog.files import day_of
from exporter.requestlog.filter import Filter
from exporter.requestlog.log import RequestLog, RequestLogMetrics, Retention
from exporter.requestlog.request import LoggedRequest
from exporter.requestlog.search import RequestSearch
from tests.counting import a_batch, a_kind, a_record

NOON = 1_795_435_200.0
"""2026-11-23 12:00 UTC."""

DAY_S = 86_400.0


def a_request(request_id: str, start: float = NOON, **names_and_numbers: Any) -> Record:
    """A record; names of a kind and numbers of a record may be given together."""
    numbers = {k: v for k, v in names_and_numbers.items() if k in Record._fields}
    names = {k: v for k, v in names_and_numbers.items() if k not in Record._fields}
    return a_record(a_kind(**names), request_id, start_time=start, **numbers)


class Logging:
    """A request log in a directory, with a state that is a number.

    Args:
        batch: the last one that the state has committed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        attributes: Sequence[str] = (),
        days: int = 14,
        max_bytes: int = 1 << 40,
        now: float = NOON + 3600,
        batch: int = 0,
        **options: Any,
    ) -> None:
        self.directory = directory
        self.batch = batch
        self.now = now
        self.kinds = Kinds()
        self.registry = CollectorRegistry()
        self._metrics = RequestLogMetrics(self.registry)
        self._options = {
            "retention": Retention(days, max_bytes),
            "attributes": attributes,
            "state": "this",
            "clock": lambda: self.now,
            **options,
        }
        self.log = self._open()
        self.search = RequestSearch(directory, lambda _: self.batch)

    def _open(self) -> RequestLog:
        return RequestLog(self.directory, metrics=self._metrics, batch=self.batch, **self._options)

    def write(self, *records: Record, source: str = "log") -> None:
        """One batch, committed."""
        self.add(*records, source=source)
        self.commit()

    def add(self, *records: Record, source: str = "log") -> None:
        """A batch that is summed and not committed yet."""
        self.log.add(source, a_batch(self.kinds, records))

    def commit(self) -> None:
        self.log.commit(self.batch + 1)
        self.batch += 1
        self.log.committed()

    def damage(self, first: int) -> None:
        """Break the block with this first row."""
        database = apsw.Connection(str(self.directory / f"{day_text()}.db"))
        change = "update columns set data = x'00' where id / 32 = ? and id % 32 = 0"
        database.execute(change, (first,))
        assert database.changes() == 1
        database.close()

    def restart(self, state: str = "this") -> None:
        """As after a kill: what was not committed is gone, the files are as they are."""
        self._options["state"] = state
        self.log = self._open()

    def find(self, request_id: str) -> Sequence[LoggedRequest]:
        """The requests with an id, newest first."""
        return self.search.page(Filter(request_id=request_id), 1000).requests

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"llm_gateway_exporter_request_log_{name}", labels)


def ids(requests: Sequence[LoggedRequest]) -> list[str | None]:
    return [request.request_id for request in requests]


def day_text(days_ago: int = 0) -> str:
    return str(day_of(NOON - days_ago * DAY_S))
