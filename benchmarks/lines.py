"""Lines a second: the whole durable pipeline against the naive exporter and Debian's mtail."""

import json
import math
import sys
import tempfile
from pathlib import Path

from benchmarks import traffic
from benchmarks.contest import Run, contest, table
from benchmarks.pictures import bars

LINES = 400_000
ROUNDS = 3
HERE = Path(__file__).parent


def measure() -> str:
    """Markdown of the result."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "requests.jsonl"
        traffic.write_lines(log, LINES)
        mapping = Path(directory) / "format.yaml"
        mapping.write_text(traffic.FORMAT)
        programs = Path(directory) / "mtail"
        programs.mkdir()
        (programs / "lines.mtail").write_text((HERE / "lines.mtail").read_text())
        python = sys.executable
        runs = contest(
            {
                "ours": [python, "-m", "benchmarks.ours", str(log), str(mapping)],
                "ours, by team too": [
                    python,
                    "-m",
                    "benchmarks.ours",
                    str(log),
                    str(mapping),
                    "team",
                ],
                "naive": [python, "-m", "benchmarks.naive", str(log)],
                "mtail": [
                    *("mtail", "-one_shot", "-one_shot_format", "prometheus"),
                    *("-progs", str(programs), "-logs", str(log)),
                ],
                "floor": [python, "-m", "benchmarks.floor", str(log)],
            },
            ROUNDS,
        )
        size = log.stat().st_size / LINES
    check_totals(runs)
    naive = runs["naive"].cpu_s
    rows = [
        [name, f"{LINES / r.cpu_s / 1000:.0f}", f"{naive / r.cpu_s:.1f}", f"{r.peak_mib:.0f}"]
        for name, r in runs.items()
    ]
    return (
        f"{LINES:,} lines of {size:.0f} bytes on one core, median of {ROUNDS} rounds by CPU time, "
        "that of Python's imports left out; equal totals checked. `ours` makes every count durable "
        "(`synchronous=FULL`) together with its position; the others keep nothing. `floor` only "
        "reads and splits.\n\n"
        + table(["", "thousand lines a CPU second", "times naive", "peak MiB"], rows)
        + f"\n\nmtail takes {runs['mtail'].cpu_s / runs['ours'].cpu_s:.1f} times our CPU time.\n\n"
        + bars(
            "lines",
            "thousand lines a CPU second",
            {name: LINES / r.cpu_s / 1000 for name, r in runs.items() if name != "floor"},
            ours="ours",
        )
    )


def check_totals(runs: dict[str, Run]) -> None:
    """Every contestant must have counted the same, or its speed means nothing.

    Raises:
        ValueError: two totals differ.
    """
    ours = json.loads(runs["ours"].output.splitlines()[-1])["totals"]
    naive = json.loads(runs["naive"].output.splitlines()[-1])["totals"]
    for name, total in naive.items():
        if not math.isclose(total, ours.get(name, 0), rel_tol=1e-9):
            raise ValueError(f"{name}: {total} by the naive exporter, {ours.get(name, 0)} by ours")
    counted = {"requests": 0.0, "tokens": 0.0}
    for line in runs["mtail"].output.splitlines():
        family, _, value = line.partition("{")[0], "", line.rpartition(" ")[2]
        if family in counted:
            counted[family] += float(value)
    for family, total in counted.items():
        expected = ours[f"llm_gateway_{family}_total"]
        if not math.isclose(total, expected, rel_tol=1e-5):  # mtail prints six digits
            raise ValueError(f"{family}: {total} by mtail, {expected} by ours")


def measure_litellm() -> str:
    """The 12 KB lines of LiteLLM, prompts and all: bytes a second."""
    sample = Path(HERE.parent / "tests/data/litellm.jsonl").read_bytes().splitlines(keepends=True)
    copies = 25_000 // len(sample)
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "litellm.jsonl"
        with log.open("wb") as file:
            for _ in range(copies):
                file.writelines(sample)
        size = log.stat().st_size
        command = [sys.executable, "-m", "benchmarks.ours", str(log), "litellm"]
        runs = contest({"ours": command}, ROUNDS)
    figures = json.loads(runs["ours"].output.splitlines()[-1])
    counted = figures["totals"]["llm_gateway_requests_total"]
    if counted != copies * len(sample):
        raise ValueError(f"{counted} requests counted, {copies * len(sample)} written")
    speed = size / runs["ours"].cpu_s / 1e6
    return (
        f"{counted:,.0f} lines of {size / counted / 1000:.1f} KB: {speed:.0f} MB a CPU second, "
        f"peak {runs['ours'].peak_mib:.0f} MiB."
    )
