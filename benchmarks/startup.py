"""How long the daemon takes to start, with a small state and with a large one."""

import json
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import apsw

from benchmarks import request_rows
from benchmarks.contest import spread, table
from benchmarks.soak.footprint import sample
from tests.daemon import Daemon
from tests.waiting import wait_until

ROUNDS = 5
_RECORDS = re.compile(r"^llm_gateway_exporter_records_total\{.*\} (\S+)$", re.MULTILINE)
LIMIT_S = 120


class Size(NamedTuple):
    """What a state holds.

    Attributes:
        models: each has 21 series.
        files: logs whose positions are known.
        rows: of the request log, in 14 days.
    """

    models: int
    files: int
    rows: int


SIZES = (Size(10, 1, 1_000), Size(4_800, 1_000, 1_000_000))


class Start(NamedTuple):
    """Until it was ready.

    Attributes:
        resident_mib: of memory then.
    """

    wall_s: float
    cpu_s: float
    resident_mib: float


def measure() -> str:
    """Markdown of the result."""
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as directory:
            config = prepare(Path(directory), size)
            series, positions = contents(Path(directory) / "state" / "state.db")
            starts = [start(config) for _ in range(ROUNDS)]
        columns = zip(*starts, strict=True)
        held = (f"{series:,}", f"{positions:,}", f"{size.rows:,}")
        rows.append([*held, *(spread(column) for column in columns)])
    header = ["series", "files known", "rows in 14 days"]
    figures = ["s until ready", "CPU s", "resident MiB then"]
    return (
        "From the start of the process to a 200 of `/-/ready`, the files still in the kernel's "
        f"memory; median (least to most) of {ROUNDS}. Most of a small state's is Python's imports."
        "\n\n" + table([*header, *figures], rows)
    )


def prepare(directory: Path, size: Size) -> Path:
    """Let a daemon make such a state; the configuration of those after it."""
    logs = directory / "logs"
    logs.mkdir()
    for number in range(size.files):
        lines = map(_line, range(number, size.models, size.files))
        (logs / f"{number}.jsonl").write_text("".join(lines))
    request_rows.fill(directory / "state" / "requests", size.rows, time.time())
    config = directory / "config.yaml"
    tail = {"paths": [f"{logs}/*.jsonl"], "format": "records"}
    config.write_text(
        json.dumps(
            {
                "state_dir": str(directory / "state"),
                "sources": [{"name": "log", "tail": tail}],
                "labels": {"limit": size.models},
            }
        )
    )
    with Daemon(config).wait_ready() as daemon:
        wait_until(lambda: _records(daemon) == size.models, LIMIT_S, "the state", every_s=1)
        daemon.end()
    return config


def _records(daemon: Daemon) -> float:
    """How many are counted, without parsing half a million samples."""
    found = _RECORDS.search(daemon.get("/metrics")[1])
    return float(found[1]) if found else 0.0


def _line(model: int) -> str:
    request = {
        "model": f"model-{model}",
        "status_code": 200,
        "streamed": True,
        "latency_s": 2.0,
        "time_to_first_token_s": 0.5,
        "input_tokens": 100,
        "output_tokens": 50,
        "cached_input_tokens": 10,
        "start_time": time.time(),
    }
    return json.dumps(request) + "\n"


def contents(state: Path) -> tuple[int, int]:
    """Series, and files whose positions are known."""
    database = apsw.Connection(str(state), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        series = database.execute("select count(*) from series").get
        files = database.execute("select count(*) from positions where key != 'started'").get
    finally:
        database.close()
    return int(str(series)), int(str(files))


def start(config: Path) -> Start:
    """Start a daemon, and end it."""
    began = time.perf_counter()
    with Daemon(config) as daemon:
        wait_until(daemon.is_ready, LIMIT_S, "the daemon to become ready")
        wall_s = time.perf_counter() - began
        held = sample(daemon.process.pid)
        daemon.end()
    return Start(wall_s, held.cpu_s, held.resident)
