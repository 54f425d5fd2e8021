"""Contestants side by side in one run: each in a process of its own, on one core, in turns.

Machines differ and drift: a figure is the median of several rounds, and the ratio is what counts.
"""

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CORE = "0"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished process.

    Attributes:
        cpu_s: user and system time: of the work alone where the contestant tells it (`"cpu_s"` in
            the JSON of its last line), else of the whole process.
        peak_mib: most resident memory.
    """

    cpu_s: float
    peak_mib: float
    output: str


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command on one core, to its end.

    Raises:
        RuntimeError: it failed; the message has what it printed.
    """
    with subprocess.Popen(
        ["taskset", "-c", CORE, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-3000:]}")
    last_line = output.rstrip().rpartition("\n")[2]
    told = json.loads(last_line).get("cpu_s") if last_line.startswith("{") else None
    whole = usage.ru_utime + usage.ru_stime
    return Run(told or whole, usage.ru_maxrss / 1024, output)


def contest(contestants: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Run]:
    """Each contestant's median run by CPU time; in turns, so that drift meets all of them."""
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, command in contestants.items():
            runs[name].append(run(command))
    return {
        name: sorted(of_one, key=lambda r: r.cpu_s)[len(of_one) // 2]
        for name, of_one in runs.items()
    }


def spread(values: Sequence[float]) -> str:
    """`median (least to most)`."""
    median, least, most = (
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        for value in (statistics.median(values), min(values), max(values))
    )
    return f"{median} ({least} to {most})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
