"""Who starts it for the first time, and sees nothing, is told why: in the log and on the page."""

from pathlib import Path

import pytest

from tests.setup import Setup, line
from tests.waiting import wait_until


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_a_path_that_matches_nothing_is_told_of_until_something_does(setup: Setup) -> None:
    with setup.start().wait_ready() as daemon:
        wait_until(lambda: "no file found" in daemon.get("/")[1])
        assert 'msg="no file matches yet" source=log' in daemon.log.read_text()
        assert str(setup.log) in daemon.log.read_text()
        setup.append(line(), line())
        wait_until(lambda: "2 counted" in daemon.get("/")[1])
        assert "no file found" not in daemon.get("/")[1]


def test_a_log_of_another_format_is_told_of(setup: Setup) -> None:
    setup.append(*['192.0.2.1 - - "GET / HTTP/1.1" 200 612\n'] * 3)
    with setup.start().wait_ready() as daemon:
        wait_until(lambda: "no line fits the format" in daemon.get("/")[1])
        assert "0 counted, 3 rejected (invalid_json)" in daemon.get("/")[1]
        said = daemon.log.read_text()
        assert 'msg="lines cannot be read" source=log reason=invalid_json' in said
        assert "192.0.2.1" not in said
