"""DashScope's asynchronous calls: counted once, when somebody asks after one and it is done."""

import time
from collections import OrderedDict
from collections.abc import Callable

from exporter.record import Record
from exporter.sources.proxy.findings import Findings

MOST_TASKS = 10_000
"""Tasks that are remembered until they are done; nobody may ever ask after one."""

_DONE = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


class Tasks:
    """What was begun and is not known to be done.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._begun: OrderedDict[str, Record] = OrderedDict()
        self._clock = clock

    def begin(self, task: str, record: Record) -> None:
        """The record of the call that began it stands for it until it is done."""
        self._begun[task] = record
        if len(self._begun) > MOST_TASKS:
            self._begun.popitem(last=False)

    def look(self, task: str, findings: Findings, record: Record) -> Record | None:
        """The record of a task whose state was asked for, if that tells its end the first time.

        Args:
            record: of the call that asked.
        """
        if findings.task_status not in _DONE or (begun := self._begun.pop(task, None)) is None:
            return None
        failed = findings.task_status != "SUCCEEDED"
        started = begun.start_time or self._clock()
        return record._replace(
            request_id=begun.request_id,
            trace_id=begun.trace_id,
            start_time=started,
            latency=max(0.0, self._clock() - started),
            time_to_first_token=None,
            kind=begun.kind._replace(
                response_model=record.kind.response_model,
                error_type=(record.kind.error_type or findings.task_status.lower())
                if failed
                else "",
            ),
        )
