"""Asynchronous calls, whose beginning and end several processes may see, in any order."""

import pytest

from exporter.sources.proxy.tasks import MOST_ENDS, MOST_TASKS, TaskBegun, TaskBook, TaskDone
from tests.counting import a_kind, a_record


def begun(task: str, source: str = "edge") -> TaskBegun:
    record = a_record(a_kind("wan"), request_id="asked", start_time=100.0)
    return TaskBegun(source, task, record)


def done(task: str, source: str = "edge") -> TaskDone:
    record = a_record(a_kind(""), request_id="polled", seconds=5.0)
    return TaskDone(source, task, "SUCCEEDED", record, seen=130.0)


@pytest.mark.parametrize("news", [(begun("t"), done("t")), (done("t"), begun("t"))])
def test_a_task_counts_once_in_whatever_order_the_news_come(
    news: tuple[TaskBegun | TaskDone, ...],
) -> None:
    book = TaskBook()
    first, second = map(book.take, news)
    assert first is None
    assert second is not None
    assert (second.request_id, second.kind.model, second.seconds) == ("asked", "wan", 5.0)
    assert second.latency == 30.0
    assert book.take(done("t")) is None


def test_tasks_of_the_same_name_at_two_sources_are_two() -> None:
    book = TaskBook()
    book.take(begun("t"))
    assert book.take(done("t", "another")) is None
    assert book.take(done("t")) is not None


def test_so_many_are_remembered_and_no_more() -> None:
    book = TaskBook()
    for number in range(MOST_TASKS + 1):
        book.take(begun(f"begun-{number}"))
    for number in range(MOST_ENDS + 1):
        book.take(done(f"done-{number}"))
    assert book.take(done("begun-0")) is None
    assert book.take(begun("done-1")) is None  # The one before has taken its place.
    assert book.take(done("begun-2")) is not None
    assert book.take(begun("done-2")) is not None
