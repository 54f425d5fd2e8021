"""The source under test, in the three ways that its life may be interrupted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.tail.driver import Mode, Tail


@pytest.fixture(params=["running", "restarted", "killed"])
def tail(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tail]:
    """Runs on, is restarted after each poll, is killed in each poll between read and commit."""
    mode: Mode = request.param
    tail = Tail(tmp_path, mode)
    yield tail
    tail.stop()


@pytest.fixture
def running_tail(tmp_path: Path) -> Iterator[Tail]:
    """Runs on: for what only an open file can give."""
    tail = Tail(tmp_path, "running")
    yield tail
    tail.stop()
