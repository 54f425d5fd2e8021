"""When the machine itself stood still: what nothing that runs on it can be blamed for.

A virtual machine's processors are taken away from it now and then, for milliseconds, and a program
that measures times takes that for a delay of what it measures.
"""

import gc
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import NamedTuple

TICK_S = 0.001
LATE_S = 0.001
"""Waking up later than that is a stall; the kernel by itself takes a tenth of it."""


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
