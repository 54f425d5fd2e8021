"""What glibc's allocator is told, for which Python has no words.

Left to itself it returns the memory of a block of lines when that is counted, and asks for it again
for the next one; the kernel clears each page that it gives, which is a tenth of the time that a
block takes. And nearly every thread gets a heap of its own, which keeps what the thread once needed
at most: together more than a third of what a busy daemon held.
"""

import ctypes
import os

KEPT_BYTES = 8 << 20
"""Free at the end of a heap: a few blocks of lines, and what is made of them."""

HEAPS = 2

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3), from malloc.h."""

_FOR_USERS = ("MALLOC_", "GLIBC_TUNABLES")
"""Names of environment variables, or how they begin, by which a user says otherwise."""


def tune_allocator() -> None:
    """To be called before threads begin; it has no effect where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith(_FOR_USERS) for name in os.environ):
        return
    mallopt(_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_ARENA_MAX, HEAPS)
