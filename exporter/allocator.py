"""What allocators are told, for which Python has no words.

Left to itself glibc's returns the memory of a block of lines when that is counted, and asks for it
again for the next one; the kernel clears each page that it gives, which is a tenth of the time that
a block takes. And nearly every thread gets a heap of its own, which keeps what the thread once
needed at most: together more than a third of what a busy daemon held. Arrow's own, mimalloc, has
such heaps for the threads of exports, and nothing gives them all back.
"""

import ctypes
import os

KEPT_BYTES = 8 << 20
"""Free at the end of a heap: a few blocks of lines, and what is made of them."""

HEAPS = 2

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3), from malloc.h."""

_ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
"""Arrow reads it as it is imported; told later, some of its parts stay as they were."""

_FOR_USERS = ("MALLOC_", "GLIBC_TUNABLES")
"""Names of environment variables, or how they begin, by which a user says otherwise."""


_libc = ctypes.CDLL(None)


def tune_allocator() -> None:
    """To be called before threads begin; elsewhere than with glibc, Arrow alone is told."""
    os.environ.setdefault(_ARROW_POOL, "system")
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is None or any(name.startswith(_FOR_USERS) for name in os.environ):
        return
    mallopt(_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_ARENA_MAX, HEAPS)


def give_back_memory() -> None:
    """Let the kernel have what is free within the heaps: after rare work that needed much."""
    if malloc_trim := getattr(_libc, "malloc_trim", None):
        malloc_trim(0)
