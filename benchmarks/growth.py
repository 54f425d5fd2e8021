"""What lines cost as there are more models, extra attributes and files."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import traffic
from benchmarks.contest import Run, contest, table

LINES = 100_000
ROUNDS = 3
MODELS = (10, 1_000, 20_000)
FILES = (1, 100, 1_000)
ATTRIBUTES = ("team", "route", "key")
"""40 teams, 3 routes, 500 keys; a key belongs to one team."""


def measure() -> str:
    """Markdown of the result.

    Raises:
        ValueError: a run did not count all lines.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        mapping = directory / "format.yaml"
        more = "".join(f"  {name}: {name}\n" for name in ATTRIBUTES[1:])
        mapping.write_text(traffic.FORMAT + more)

        def ours(logs: Path | str, attributes: Sequence[str] = ()) -> list[str]:
            python = [sys.executable, "-m", "benchmarks.ours"]
            return [*python, str(logs), str(mapping), *attributes]

        contestants = {}
        for models in MODELS:
            log = directory / f"{models}.jsonl"
            names = [f"model-{number}" for number in range(models)]
            traffic.write_lines(log, LINES, models=names)
            contestants[f"{models:,} models"] = ours(log)
        log = directory / f"{MODELS[0]}.jsonl"
        contestants["1 attribute (team)"] = ours(log, ATTRIBUTES[:1])
        contestants[f"{len(ATTRIBUTES)} attributes (team, route, key)"] = ours(log, ATTRIBUTES)
        for files in FILES[1:]:
            split(log, directory / str(files), files)
            contestants[f"{files:,} files"] = ours(f"{directory / str(files)}/*.jsonl")
        runs = contest(contestants, ROUNDS)
    for contestant, run in runs.items():
        check_total(contestant, run)
    first = next(iter(runs.values())).cpu_s
    rows = [
        [name, f"{LINES / run.cpu_s / 1000:.0f}", f"{run.cpu_s / first:.2f}", f"{run.peak_mib:.0f}"]
        for name, run in runs.items()
    ]
    return (
        f"{LINES:,} lines on one core, series only, the rest as in `lines`; median of {ROUNDS} "
        f"rounds by CPU time. Each row differs from the first, which has {MODELS[0]} models, no "
        "extra attribute and one file, in what it names. At most 200 values of a label become "
        "series, as by default; the rest is `other`.\n\n"
        + table(["", "thousand lines a CPU second", "times the first's time", "peak MiB"], rows)
    )


def split(log: Path, into: Path, files: int) -> None:
    """Deal a log's lines out to so many files."""
    into.mkdir()
    lines = log.read_bytes().splitlines(keepends=True)
    for number in range(files):
        (into / f"{number}.jsonl").write_bytes(b"".join(lines[number::files]))


def check_total(contestant: str, run: Run) -> None:
    """All lines must have been counted, or the speed means nothing.

    Raises:
        ValueError: they were not.
    """
    counted = json.loads(run.output.splitlines()[-1])["totals"]["llm_gateway_requests_total"]
    if counted != LINES:
        raise ValueError(f"{contestant}: {counted} requests counted, {LINES} written")
