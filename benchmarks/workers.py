"""The daemon on several logs at once: one process against two, each on a core of its own."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import traffic
from benchmarks.contest import table

LOGS = 4
LINES = 500_000
ROUNDS = 3
PORT = 19478
LIMIT_S = 120.0

POLL_S = 0.1
"""Scrapes take from what they measure; this is 1 or 2 % of a run."""

_REQUESTS = re.compile(rb"^llm_gateway_requests_total\{.*\} (\S+)$", re.MULTILINE)


def measure() -> str:
    """Markdown of the result.

    Raises:
        TimeoutError: the daemon did not count all lines.
    """
    with tempfile.TemporaryDirectory() as directory:
        logs = Path(directory) / "written"
        logs.mkdir()
        for number in range(LOGS):
            traffic.write_lines(logs / f"gateway-{number}.jsonl", LINES, seed=number)
        rows = []
        for with_rows in (False, True):
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(ROUNDS):
                for processes in seconds:
                    with tempfile.TemporaryDirectory(dir=directory) as run:
                        seconds[processes].append(_run(Path(run), logs, processes, with_rows))
            one, two = median(seconds[1]), median(seconds[2])
            rows.append(
                [
                    "with the request log" if with_rows else "series only",
                    *(f"{LOGS * LINES / each / 1000:.0f}" for each in (one, two)),
                    f"{one / two:.2f}",
                ]
            )
    return (
        f"{LOGS} logs of {LINES:,} lines appear at once before a running daemon; by the clock, "
        f"until `/metrics` shows every line; median of {ROUNDS} rounds in turns, on 2 cores.\n\n"
        + table(
            ["", "one process, thousand lines a second", "two processes", "times one"],
            rows,
        )
    )


def _run(directory: Path, logs: Path, processes: int, with_rows: bool) -> float:
    """Seconds from the logs' appearance until all of them are counted."""
    read = directory / "read"
    read.mkdir()
    config = {
        "workers": processes,
        "state_dir": str(directory / "state"),
        "sources": [
            {
                "name": "log",
                "tail": {
                    "paths": [f"{read}/*.jsonl"],
                    "format": "measured",
                    "poll_interval": "50ms",
                },
            }
        ],
        "request_log": {"enabled": with_rows, "retention": "3650d"},
    }
    mapping = traffic.FORMAT.replace("\n", "\n    ")
    text = f"formats:\n  measured:\n    {mapping}\n"
    text += "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())
    (directory / "config.yaml").write_text(text)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "exporter", "run", f"--config.file={directory}/config.yaml"),
            *(f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=error"),
        ]
    ) as daemon:
        try:
            _wait(lambda: _get("/-/ready") is not None, 0.1)
            began = time.perf_counter()
            for log in logs.iterdir():
                os.link(log, read / log.name)
            _wait(lambda: _counted() >= LOGS * LINES, POLL_S)
            return time.perf_counter() - began
        finally:
            daemon.terminate()


def _wait(is_done: Callable[[], bool], every_s: float) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError("the daemon does not get done")
        time.sleep(every_s)


def _counted() -> float:
    return sum(map(float, _REQUESTS.findall(_get("/metrics") or b"")))


def _get(path: str) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.URLError:
        return None
