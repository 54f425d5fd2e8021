"""The whole daemon beside files to which nothing is written: what looking at them costs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.contest import table
from tests.waiting import free_port

FILES = 100
ROTATED = 14
SETTLING_S = 15
ROUND_S = 10
ROUNDS = 5
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def measure() -> str:
    """Markdown of the result."""
    rows = []
    for files, rotated in ((0, 0), (FILES, 0), (FILES, ROTATED)):
        shares = _shares(files, rotated)
        extremes = f"{min(shares):.1%} to {max(shares):.1%}"
        rows.append([f"{files}", f"{rotated}", f"{statistics.median(shares):.1%} ({extremes})"])
    return (
        "The daemon with idle files, not scraped: the share of one core, median (least to most) "
        f"of {ROUNDS} times {ROUND_S} seconds.\n\n"
        + table(["files", "rotated ones beside each", "of a core"], rows)
    )


def _shares(files: int, rotated: int) -> list[float]:
    with tempfile.TemporaryDirectory() as directory:
        logs = Path(directory) / "logs"
        logs.mkdir()
        for number in range(files):
            for ending in ("", *(f".{age}" for age in range(1, rotated + 1))):
                line = {"model": "qwen", "request_id": f"{number}{ending}", "status_code": 200}
                (logs / f"{number}.log{ending}").write_text(json.dumps(line) + "\n")
        config = Path(directory) / "config.yaml"
        tail = {"paths": [f"{logs}/*.log"], "format": "records"}
        source = {"name": "log", "tail": tail}
        config.write_text(json.dumps({"state_dir": f"{directory}/state", "sources": [source]}))
        listen = [f"--web.listen-address=127.0.0.1:{free_port()}", "--log.level=error"]
        command = [sys.executable, "-m", "exporter", "run", "--config.file", str(config), *listen]
        with subprocess.Popen(command) as daemon:
            try:
                time.sleep(SETTLING_S)  # of files that were just written more is to be looked at
                return [_share(daemon.pid) for _ in range(ROUNDS)]
            finally:
                daemon.terminate()


def _share(process: int) -> float:
    before = _cpu_s(process)
    time.sleep(ROUND_S)
    return (_cpu_s(process) - before) / ROUND_S


def _cpu_s(process: int) -> float:
    """User and system time of a process, proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
