import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import notify


@pytest.fixture(params=["file", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The service manager's end of $NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_says_when_it_is_ready(manager: socket.socket) -> None:
    notify.ready()
    assert manager.recv(1000) == b"READY=1"


def test_says_when_it_stops(manager: socket.socket) -> None:
    notify.stopping()
    assert manager.recv(1000) == b"STOPPING=1"


def test_a_reload_comes_with_the_time_it_began(manager: socket.socket) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.reloading()
    after_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.recv(1000).decode().split("\n")
    name, value = second.split("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before_us <= int(value) <= after_us


def test_gives_signs_of_life(manager: socket.socket) -> None:
    notify.watchdog()
    assert manager.recv(1000) == b"WATCHDOG=1"


def test_does_nothing_without_a_service_manager(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.ready()
    assert capsys.readouterr() == ("", "")


def test_a_service_manager_that_went_away_is_reported_and_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify.ready()
    assert "could not notify the service manager" in capsys.readouterr().out


def test_a_service_manager_that_does_not_read_never_holds_the_process(
    manager: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(1000):
        notify.watchdog()
        if "could not notify" in capsys.readouterr().out:
            return
    pytest.fail("the queue never filled up")


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_sign_of_life_is_due_at_half_of_the_watchdogs_time(
    environment: dict[str, str], interval_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert notify.watchdog_interval_s() == interval_s
