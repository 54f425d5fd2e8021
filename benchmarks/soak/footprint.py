"""What a process holds over time, and whether that grows."""

import os
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure


class Sample(NamedTuple):
    """What a process and its children hold.

    Attributes:
        resident, proportional, private: MiB; each page of memory at its whole size, by its share
            of the processes that have it, and only if no other has it.
        sockets: open ones, of which there are as many as peers connect.
        files: all other descriptors.
        cpu_s: user and system time so far.
    """

    resident: float
    proportional: float
    private: float
    sockets: int
    files: int
    threads: int
    cpu_s: float


def sample(pid: int) -> Sample:
    """Of a process and its children, now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    each = [_sample(one) for one in (str(pid), *children)]
    return Sample(*(sum(column) for column in zip(*each, strict=True)))


def _sample(pid: str) -> Sample:
    process = Path("/proc", pid)
    memory = {
        name: int(kib) / 1024
        for name, kib in re.findall(r"(\w+): +(\d+) kB", (process / "smaps_rollup").read_text())
    }
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    descriptors = list(map(_target, (process / "fd").iterdir()))
    sockets = sum(target.startswith("socket:") for target in descriptors)
    return Sample(
        memory["Rss"],
        memory["Pss"],
        memory["Private_Clean"] + memory["Private_Dirty"],
        sockets,
        len(descriptors) - sockets,
        int(fields[17]),
        ticks / os.sysconf("SC_CLK_TCK"),
    )


def _target(descriptor: Path) -> str:
    """What a descriptor stands for, "" if it has been closed meanwhile."""
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:
        return ""


@dataclass(frozen=True, slots=True)
class Trend:
    """How a figure went after the warm-up.

    Attributes:
        slope: an hour, by Theil and Sen: the median of the slopes of all pairs of samples, which
            no single peak can move.
    """

    median: float
    least: float
    most: float
    slope: float

    @property
    def is_flat(self) -> bool:
        """Whether an hour adds less than a fiftieth."""
        return self.slope <= self.median / 50


def trend(hours: Sequence[float], values: Sequence[float]) -> Trend:
    """Of two samples at least."""
    x, y = np.array(hours), np.array(values, np.float64)
    first, second = np.triu_indices(len(x), 1)
    slopes = (y[second] - y[first]) / (x[second] - x[first])
    return Trend(statistics.median(values), min(values), max(values), float(np.median(slopes)))


def draw(path: Path, times: Sequence[float], samples: Sequence[Sample], warm_up_s: float) -> None:
    """A picture of memory, and of sockets, other descriptors and threads, over the time.

    Args:
        times: of the samples, in seconds.
        warm_up_s: at the beginning, which is not judged.
    """
    minutes = [time / 60 for time in times]
    figure = Figure(figsize=(9, 5), layout="constrained")
    memory, counts = figure.subplots(2, 1, sharex=True)
    for label, column in (("resident", 0), ("private", 2)):
        memory.plot(minutes, [one[column] for one in samples], label=label)
    for label, column in (("sockets", 3), ("other descriptors", 4), ("threads", 5)):
        counts.plot(minutes, [one[column] for one in samples], label=label)
    memory.set_ylabel("memory, MiB")
    counts.set_ylabel("number")
    counts.set_xlabel("minutes; grey: warm-up")
    for axes in (memory, counts):
        axes.axvspan(0, warm_up_s / 60, color="0.93")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, minutes[-1])
        axes.grid(color="0.85")
        axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)
