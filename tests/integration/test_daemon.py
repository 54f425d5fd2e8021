"""The daemon as a process: start, signals, reload, refusals, what it serves."""

import os
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import apsw
import pytest

from exporter.cli import EX_CONFIG, EX_TEMPFAIL
from tests.daemon import Daemon
from tests.setup import REQUESTS, Setup, counts, line
from tests.waiting import wait_until


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_it_is_not_ready_before_the_first_commit_and_healthy_at_once(setup: Setup) -> None:
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        assert daemon.total(REQUESTS) == 1, (
            "what was there at the start is counted once it is ready"
        )
        assert daemon.get("/-/healthy")[0] == 200
        assert "log" in daemon.get("/")[1]


def test_sigterm_commits_what_was_read_and_leaves_with_zero_in_five_seconds(setup: Setup) -> None:
    setup.append(*[line()] * 1000)
    with setup.start().wait_ready() as daemon:
        setup.append(*[line()] * 500)
        began = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began < 5
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1500)


def test_a_second_sigterm_ends_it_at_once(setup: Setup) -> None:
    with setup.start().wait_ready() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)  # so that both signals are there when it wakes
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGINT)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(5) == 1
        assert "second signal" in daemon.log.read_text()


def test_a_second_daemon_on_one_state_is_refused_and_told_of_the_first(setup: Setup) -> None:
    with setup.start().wait_ready() as first, setup.start() as second:
        assert second.process.wait(60) == EX_TEMPFAIL
        assert f"process {first.process.pid}" in second.log.read_text()


def test_an_address_that_another_one_has_may_be_free_later(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with setup.start("--web.listen-address", address) as daemon:
            assert daemon.process.wait(60) == EX_TEMPFAIL
            assert f"cannot listen at {address}: Address already in use" in daemon.log.read_text()


@pytest.mark.fault("read-only or unreadable state")
def test_a_state_directory_that_cannot_be_used_is_a_refusal(setup: Setup) -> None:
    setup.state.write_text("a file where a directory should be")
    with setup.start() as daemon:
        assert daemon.process.wait(60) == EX_CONFIG
        said = daemon.log.read_text()
        assert said == f"{setup.state}: cannot be a state directory: File exists\n"


@pytest.mark.fault("corrupt state")
def test_a_corrupt_state_is_moved_aside_and_told_of_and_files_go_on_from_their_end(
    setup: Setup,
) -> None:
    setup.append(*[line()] * 10)
    with setup.start().wait_ready() as daemon:
        counts(daemon, 10)
        daemon.end()
    (setup.state / "state.db").write_bytes(b"\0" * 8192)
    with setup.start().wait_ready() as daemon:
        assert daemon.total(REQUESTS) == 0, "the ten lines were scraped before: not twice"
        setup.append(line())
        counts(daemon, 1)
        replaced = "llm_gateway_exporter_state_corrupt_replaced_timestamp_seconds"
        assert daemon.total(replaced) > 0
        assert "corrupt" in daemon.log.read_text()
    assert list(setup.state.glob("state.db.corrupt-*"))


def test_a_new_configuration_is_taken_over_by_sighup_and_counting_goes_on(setup: Setup) -> None:
    setup.append(line(team="blue"))
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1)
        setup.rest = {"labels": {"attributes": ["team"]}}
        setup.write()
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "configuration reloaded" in daemon.log.read_text(), 10, "the reload")
        setup.append(line(team="red"))
        counts(daemon, 2)
        counts(daemon, 1, team="red")


@pytest.mark.fault("reload of a bad configuration")
def test_a_bad_configuration_keeps_the_old_one_running_and_shows(setup: Setup) -> None:
    with setup.start("--web.enable-lifecycle").wait_ready() as daemon:
        success = "llm_gateway_exporter_config_last_reload_successful"
        assert daemon.total(success) == 1
        setup.tail["start"] = "middle"
        setup.write()
        request = urllib.request.Request(f"http://{daemon.address}/-/reload", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value:
            assert "sources[0].tail.start" in refused.value.read().decode()
        assert daemon.total(success) == 0
        setup.append(line())
        counts(daemon, 1)


def test_a_reload_that_moves_the_state_is_refused(setup: Setup, tmp_path: Path) -> None:
    with setup.start().wait_ready() as daemon:
        setup.rest = {"state_dir": str(tmp_path / "elsewhere")}
        setup.write()
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "state_dir cannot change" in daemon.log.read_text(), 10, "the refusal")
        setup.append(line())
        counts(daemon, 1)


@pytest.mark.parametrize(("before", "after"), [("tail", "ingest"), ("ingest", "tail")])
def test_a_source_cannot_have_the_name_of_one_of_another_kind(
    setup: Setup, before: str, after: str
) -> None:
    kinds = {"tail": setup.tail, "ingest": {}}
    setup.rest = {"sources": [{"name": "gateway", before: kinds[before]}]}
    setup.write()
    setup.append(line())
    with setup.start("--web.enable-lifecycle").wait_ready() as daemon:
        if before == "ingest":
            assert daemon.post("/ingest/records", line(request_id="a"))[0] == 200
        counts(daemon, 1)
        setup.rest = {"sources": [{"name": "gateway", after: kinds[after]}]}
        setup.write()
        refusal = f"'gateway' was `{before}` before"
        status, said = daemon.post("/-/reload")
        assert status == 500
        assert refusal in said
        setup.append(line())
        if before == "ingest":
            daemon.post("/ingest/records", line(request_id="b"))
        counts(daemon, 2)
        daemon.end()
    with setup.start() as daemon:
        assert daemon.process.wait(60) == EX_CONFIG
        assert refusal in daemon.log.read_text().splitlines()[-1]
    setup.rest = {"sources": [{"name": "another", after: kinds[after]}]}
    setup.write()
    with setup.start().wait_ready() as daemon:
        counts(daemon, 2 if after == "ingest" else 4)


@pytest.mark.fault("reload while commits fail")
def test_a_reload_that_cannot_commit_changes_nothing_and_counting_goes_on(setup: Setup) -> None:
    with setup.start().wait_ready() as daemon:
        other = apsw.Connection(str(setup.state / "state.db"))
        other.execute("begin immediate")
        setup.append(line())
        wait_until(lambda: "commit failed" in daemon.log.read_text(), 10, "a commit to fail")
        setup.rest = {"labels": {"attributes": ["team"]}}
        setup.write()
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in daemon.log.read_text(), 10, "the reload to fail")
        other.execute("rollback")
        counts(daemon, 1)
        setup.append(line())
        counts(daemon, 2)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "configuration reloaded" in daemon.log.read_text(), 10, "the reload")
        setup.append(line(team="red"))
        counts(daemon, 1, team="red")
        counts(daemon, 3)


def test_systemd_is_told_of_readiness_and_of_the_end(setup: Setup, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            daemon = setup.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        with daemon:
            assert systemd.recv(100) == b"READY=1"
            daemon.end()
            assert systemd.recv(100) == b"STOPPING=1"


@pytest.mark.fault("clock that jumps back")
def test_a_clock_that_jumps_back_costs_no_count(setup: Setup) -> None:
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1)
        daemon.end()
    yesterday = time.time() - 86_400
    os.utime(setup.log, (yesterday, yesterday))
    with setup.start().wait_ready() as daemon:
        setup.append(line(start_time="1999-01-01T00:00:00Z"), line(start_time=9e12))
        counts(daemon, 3)


def test_the_demo_shows_traffic(tmp_path: Path) -> None:
    flags = [f"--dir={tmp_path / 'demo'}", "--rate=200"]
    with Daemon(
        None, flags=flags, command="demo", log=tmp_path / "demo.log"
    ).wait_ready() as daemon:
        wait_until(lambda: daemon.total(REQUESTS) > 700, 20, "the demo's traffic to be counted")
        assert daemon.total("llm_gateway_exporter_lines_rejected_total") == 0
        assert daemon.end(signal.SIGINT) == 0


def test_the_demo_goes_on_in_its_directory(tmp_path: Path) -> None:
    for _ in range(2):
        flags = [f"--dir={tmp_path / 'demo'}", "--rate=200"]
        with Daemon(None, flags=flags, command="demo", log=tmp_path / "demo.log") as daemon:
            daemon.wait_ready()
            assert daemon.end(signal.SIGINT) == 0
