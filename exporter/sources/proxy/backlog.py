"""Exchanges that are over, until their records are made: several in a row, and off the way.

A record by itself, between two system calls and with nothing of its code in the processor's caches,
takes twice as long as one in a row of records; and meanwhile the next request waits.
"""

import asyncio
from collections.abc import Callable

WAIT_S = 0.02
"""How long a record may wait for company."""

MOST_RECORDS, MOST_BYTES = 32, 1 << 20
"""More of them, or of their bodies, wait no longer."""


class Backlog:
    """Work that is done later, in order; for one event loop."""

    def __init__(self) -> None:
        self._work: list[Callable[[], None]] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, work: Callable[[], None], held_bytes: int) -> None:
        """Put off some work.

        Args:
            work: must raise nothing.
            held_bytes: of memory, until it is done.
        """
        self._work.append(work)
        self._bytes += held_bytes
        if len(self._work) >= MOST_RECORDS or self._bytes > MOST_BYTES:
            self.clear()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WAIT_S, self.clear)

    def clear(self) -> None:
        """Do all of it now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        work, self._work, self._bytes = self._work, [], 0
        for each in work:
            each()
