"""What a user finds in the files who may not read all of them, or not write beside them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.requestlog.logging_requests import DAY_S, NOON, Logging, a_request, day_text

ALL = {
    "page": ["new", "old"],
    "get": "old",
    "count": 2,
    "export": ["request_id", "old", "new"],
}


@pytest.fixture
def log(public_path: Path) -> Logging:
    log = Logging(public_path)
    log.write(a_request("new"), a_request("old", NOON - DAY_S))
    return log


def found_by_nobody(directory: Path) -> dict[str, Any]:
    """By each way of reading, what was found or what was told."""
    command = [sys.executable, "-m", "tests.requestlog.unprivileged", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("is_closed", [True, False])
def test_who_may_read_and_not_write_finds_everything(log: Logging, is_closed: bool) -> None:
    if is_closed:
        log.log.close()
    log.directory.chmod(0o555)
    assert found_by_nobody(log.directory) == ALL


@pytest.mark.fault("read-only or unreadable state")
def test_a_day_that_may_not_be_read_is_told_and_not_passed_over(log: Logging) -> None:
    log.log.close()
    path = log.directory / f"{day_text(1)}.db"
    path.chmod(0)
    for told in found_by_nobody(log.directory).values():
        assert f"{path}: unable to open database file" in told


def test_a_directory_that_may_not_be_read_is_told_and_not_empty(log: Logging) -> None:
    log.directory.chmod(0)
    for told in found_by_nobody(log.directory).values():
        assert f"Permission denied: '{log.directory}'" in told
