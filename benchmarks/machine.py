"""What the machine itself does to a measurement, which nothing that runs on it can be blamed for.

A virtual machine's processors are taken away from it now and then, for milliseconds, and a program
that measures times takes that for a delay of what it measures. And some of them track which pages
of memory are in use by making the next access to each a costly one: a program that wakes up after
a rest pays that for each page of its code and data, and one with a small footprint hardly any.
"""

import gc
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import NamedTuple

TICK_S = 0.001
LATE_S = 0.001
"""Waking up later than that is a stall; the kernel by itself takes a tenth of it."""

REST_S = 0.3
PAGES = 4096
PAGE, LINE = 4096, 64


class Stall(NamedTuple):
    """From when to when, by `time.perf_counter`, which all processes of a machine share."""

    begin: float
    end: float


def watch(core: int, stopping: Event) -> list[Stall]:
    """Wake up each millisecond, before all others on a core; when that failed.

    For a process of its own.
    """
    gc.disable()
    os.sched_setaffinity(0, {core})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))
    stalls = []
    before = time.perf_counter()
    while not stopping.is_set():
        time.sleep(TICK_S)
        now = time.perf_counter()
        if now - before > TICK_S + LATE_S:
            stalls.append(Stall(before, now))
        before = now
    return stalls


def stood_still(stalls: Sequence[Stall], begin: float, end: float) -> bool:
    """Whether the machine did at any moment from `begin` to `end`."""
    return any(stall.begin <= end and begin <= stall.end for stall in stalls)


def page_us(rest_s: float) -> float:
    """Microseconds to read from a page of memory that was left alone for a while."""
    memory = bytearray(PAGES * (PAGE + LINE))
    taken = []
    for _ in range(6):
        time.sleep(rest_s)
        began = time.perf_counter()
        memory[:: PAGE + LINE]
        taken.append((time.perf_counter() - began) / PAGES * 1e6)
    return statistics.median(taken)


def told() -> str:
    """How busy others keep the machine, and what a rest costs on it."""
    return (
        f"Load average of the machine before: {os.getloadavg()[0]:.1f}, cores: {os.cpu_count()}. "
        f"To read from a page of memory takes it {page_us(0.0):.2f} µs, and "
        f"{page_us(REST_S):.2f} if the page was left alone for {REST_S} s."
    )
