"""A daemon that may open no more files."""

import resource
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.setup import Setup, counts, line
from tests.waiting import wait_until


def allow(daemon: Daemon, descriptors: int) -> None:
    """Let it open no descriptor of this number or a higher one."""
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (descriptors, hard))


@pytest.mark.fault("no file descriptors left")
def test_a_daemon_that_may_open_no_file_says_so_and_loses_nothing(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.tail |= {"paths": [f"{tmp_path}/*.jsonl"], "rotated_wait": "1s"}
    setup.write()
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1)
        before, _ = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        taken = daemon.descriptors()
        allow(daemon, next(number for number in range(before) if number not in taken))
        for number in range(10):
            (tmp_path / f"new-{number}.jsonl").write_text(line())
        setup.append(line())
        wait_until(lambda: len(setup.logged()) >= 2, 20, "the open log to be read on")
        setup.log.rename(tmp_path / "requests.jsonl.1")
        setup.append(line())
        wait_until(lambda: "Too many open files" in daemon.log.read_text(), 20, "it to say so")
        allow(daemon, before)
        counts(daemon, 13, 20)
        assert "can look into directory again" in daemon.log.read_text()
