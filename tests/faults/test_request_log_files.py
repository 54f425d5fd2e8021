"""A process that dies while it writes, closes or deletes files of the request log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.fault("kill -9 at each step of the request log's files")
def test_a_process_that_dies_at_any_step_leaves_whole_days_and_no_rest(quick_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.crashing_log", str(quick_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = set(json.loads(done.stdout))
    assert steps == {"open", "write", "sync", "truncate", "delete", "state", "unlink"}
