"""Rows and counts stay equal when commits fail, between the one and the other too."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from exporter.engine import Engine, Metrics
from tests.faults.running import Running
from tests.waiting import wait_until


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    running = Running(tmp_path)
    running.write(3000)
    running.step()
    running.check()
    yield running
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    running.store.close()


@contextmanager
def full_disk(running: Running) -> Iterator[None]:
    """What any user has for one: no file may grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    files = (path for path in (running.directory / "state").rglob("*") if path.is_file())
    largest = max(path.stat().st_size for path in files)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault("full disk")
def test_a_full_disk_delays_rows_and_counts_and_loses_neither(running: Running) -> None:
    running.write(5000)
    with full_disk(running):
        for _ in range(3):
            with pytest.raises(OSError, match="request log"):
                running.step()
    running.step()
    running.check()


@pytest.mark.fault("full disk")
def test_days_beyond_the_retention_give_a_full_disk_room(running: Running) -> None:
    running.write(5000)
    running.engine = Engine(running.config, running.store, Metrics())
    expired = running.config.request_log_dir / "2020-01-01.db"
    expired.touch()
    with full_disk(running):
        running.engine.start()
        wait_until(lambda: not expired.exists())
    wait_until(running.engine.pipeline.has_committed.is_set)
    assert running.engine.stop(5)
    running.check()


def failing_state(running: Running) -> apsw.Connection:
    """Somebody else holds the state's file, so that its commit fails after that of the rows."""
    other = apsw.Connection(str(running.directory / "state" / "state.db"))
    other.execute("begin immediate")
    running.write(1000)
    with pytest.raises(OSError, match=r"state\.db"):
        running.step()
    return other


@pytest.mark.fault("state locked by another process")
def test_rows_whose_counts_could_not_be_committed_are_not_added_again(running: Running) -> None:
    other = failing_state(running)
    with pytest.raises(OSError, match=r"state\.db"):
        running.step()
    other.close()
    running.step()
    running.check()


@pytest.mark.fault("kill -9 between rows and totals")
def test_rows_whose_counts_were_never_committed_are_taken_back(running: Running) -> None:
    failing_state(running).close()
    running.store.close()
    running.start()
    running.step()
    running.check()
    running.write(10)
    running.step()
    running.check()


@pytest.mark.fault("reload while commits fail")
def test_a_reload_after_a_failed_commit_logs_nothing_twice(running: Running) -> None:
    other = failing_state(running)
    running.engine.pipeline.stop()
    other.close()
    running.engine = Engine(running.config, running.store, Metrics())
    running.step()
    running.check()
