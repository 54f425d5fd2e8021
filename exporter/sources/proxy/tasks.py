"""DashScope's asynchronous calls: counted once, when somebody asks after one and it is done.

Where several processes serve a proxy, the one that sees a call begin is seldom the one that is
asked after it. Each tells what it sees, and one of them, the main process, puts it together.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

from exporter.record import Record
from exporter.sources.proxy.findings import Findings

MOST_TASKS = 10_000
"""Tasks that are remembered until they are done; nobody may ever ask after one."""

MOST_ENDS = 1000
"""Ends that are remembered of tasks that are not known: word of how they began may be under way."""

_DONE = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


class TaskBegun(NamedTuple):
    """A call has begun a task.

    Attributes:
        record: of that call; it stands for the task until that is done.
    """

    source: str
    task: str
    record: Record


class TaskDone(NamedTuple):
    """A call has asked after a task, and was told that it is done.

    Attributes:
        record: of that call.
        seen: Unix seconds.
    """

    source: str
    task: str
    status: str
    record: Record
    seen: float


TaskNews: TypeAlias = TaskBegun | TaskDone

TellTask: TypeAlias = Callable[[TaskNews], Record | None]
"""Takes news; the record that counts now, if there is one."""


class Tasks:
    """The tasks of a source, as one process sees them."""

    def __init__(self, source: str, tell: TellTask) -> None:
        self._source = source
        self._tell = tell

    def begin(self, task: str, record: Record) -> Record | None:
        """The record that counts now, after a call began a task."""
        return self._tell(TaskBegun(self._source, task, record))

    def look(self, task: str, findings: Findings, record: Record) -> Record | None:
        """The record that counts now, after a call asked for a task's state.

        Args:
            record: of the call that asked.
        """
        if findings.task_status not in _DONE:
            return None
        return self._tell(TaskDone(self._source, task, findings.task_status, record, time.time()))


class TaskBook:
    """What was begun and is not known to be done, in all processes."""

    def __init__(self) -> None:
        self._begun: OrderedDict[tuple[str, str], TaskBegun] = OrderedDict()
        self._done: OrderedDict[tuple[str, str], TaskDone] = OrderedDict()

    def take(self, news: TaskNews) -> Record | None:
        """The record of a task whose beginning and end are known now, in whatever order."""
        key = news.source, news.task
        if isinstance(news, TaskBegun):
            if (done := self._done.pop(key, None)) is not None:
                return _record(news, done)
            _remember(self._begun, key, news, MOST_TASKS)
        elif (begun := self._begun.pop(key, None)) is not None:
            return _record(begun, news)
        else:
            _remember(self._done, key, news, MOST_ENDS)
        return None


K = TypeVar("K")
V = TypeVar("V")


def _remember(known: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    known[key] = value
    if len(known) > most:
        known.popitem(last=False)


def _record(begun: TaskBegun, done: TaskDone) -> Record:
    first, last = begun.record, done.record
    failed = done.status != "SUCCEEDED"
    started = first.start_time or done.seen
    return last._replace(
        request_id=first.request_id,
        trace_id=first.trace_id,
        start_time=started,
        latency=max(0.0, done.seen - started),
        time_to_first_token=None,
        kind=first.kind._replace(
            response_model=last.kind.response_model,
            error_type=(last.kind.error_type or done.status.lower()) if failed else "",
        ),
    )
