"""Python's search for cycles of dead objects, made rare: requests and lines leave next to none.

By default it begins after 700 new containers, which is every few requests, and goes through all
modules' objects now and then: a twentieth of the proxy's time, and pauses of 20 ms.
"""

import gc

from exporter.allocator import give_back_memory

NEW_CONTAINERS = 10_000
"""Before the youngest are looked at."""


def search_rarely() -> None:
    """What is there now is left out for good; to be called once all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_CONTAINERS)


def collect() -> None:
    """Search now: what a reload leaves behind is a web of objects that holds buffers and files."""
    gc.collect()
    give_back_memory()
