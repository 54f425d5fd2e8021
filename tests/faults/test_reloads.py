"""Signals to reload that never end, while requests come in."""

import os
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.gateway import Gateway, to_odd_names
from tests.setup import Setup, counted_and_logged_once, counts, line
from tests.waiting import wait_until

SIGNALS = 300
MOST_THREADS = 20
"""Most of them are asyncio's, which makes them when it first needs them."""

RELOADED = "configuration reloaded"


def reload(daemon: Daemon) -> None:
    """Once; all those that were asked for before come first."""
    url = f"http://{daemon.address}/-/reload"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60) as answer:
        assert answer.status == 200


@pytest.mark.fault("SIGHUP storm under load")
def test_a_storm_of_sighups_loses_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, to_odd_names, logs=3, rotate_at_bytes=1 << 30)
    setup = Setup(tmp_path)
    setup.tail["paths"] = [f"{tmp_path}/gateway-*"]
    setup.write()
    for path in gateway.paths:
        gateway.write(path, 10)
    gateway.start()
    with setup.start("--web.enable-lifecycle").wait_ready() as daemon:
        before = len(daemon.descriptors())
        for _ in range(SIGNALS):
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)  # that many a second, or the kernel makes one signal of all
        reload(daemon)
        reloads = daemon.log.read_text().count(RELOADED)
        assert 1 < reloads < SIGNALS / 2, "signals that come during a reload are one"
        for _ in range(MOST_THREADS):
            reload(daemon)
        wait_until(lambda: len(daemon.descriptors()) <= before, 10, "descriptors to be let go of")
        assert len(list((daemon.proc / "task").iterdir())) < MOST_THREADS
        gateway.stop()
        counted_and_logged_once(daemon, gateway, setup.state)


@pytest.mark.fault("reload while a deleted log is read")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_deleted_log_is_read_on_after_a_reload(tmp_path: Path, workers: int) -> None:
    setup = Setup(tmp_path)
    setup.rest["workers"] = workers
    setup.write()
    setup.append(line())
    with setup.start("--web.enable-lifecycle").wait_ready() as daemon, setup.log.open("a") as log:
        counts(daemon, 1)
        setup.log.unlink()
        for written in (2, 3):
            reload(daemon)
            log.write(line())
            log.flush()
            counts(daemon, written)
        assert daemon.total("llm_gateway_exporter_tail_abandoned_bytes_total") == 0


@pytest.mark.fault("reload while half a line is in a pipe")
def test_a_pipe_has_a_reader_and_its_unfinished_line_over_a_reload(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    os.mkfifo(setup.log)
    with setup.start("--web.enable-lifecycle").wait_ready() as daemon, setup.log.open("w") as pipe:
        pipe.write(line() + line()[:20])
        pipe.flush()
        counts(daemon, 1)
        for written in (2, 3):
            reload(daemon)
            pipe.write(line()[20:] + line()[:20])
            pipe.flush()
            counts(daemon, written)


@pytest.mark.fault("stop while a deleted log is read")
def test_what_was_unread_of_a_deleted_log_is_told_of_at_the_end(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1)
        setup.append(line()[:20])
        setup.log.unlink()
        assert daemon.end() == 0
    assert "deleted file let go of unread" in daemon.log.read_text()
    assert "bytes=20" in daemon.log.read_text()


def test_a_reload_and_the_end_at_the_same_time_are_one_after_the_other(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.append(*[line()] * 1000)
    with setup.start().wait_ready() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)  # so that both signals are there when it wakes
        daemon.process.send_signal(signal.SIGHUP)
        daemon.process.send_signal(signal.SIGTERM)
        setup.append(line())
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(20) == 0
    told = daemon.log.read_text()
    assert RELOADED in told
    assert "level=error" not in told
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1001)
