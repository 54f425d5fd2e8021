"""What becomes of memory that a block of lines, or an export, has taken."""

import os
import subprocess
import sys

BLOCKS = 100
PAGES = BLOCKS * (2 << 20) // os.sysconf("SC_PAGE_SIZE")

PROGRAM = f"""
import resource, threading
from exporter.allocator import tune_allocator

def read_blocks():
    for number in range({BLOCKS}):
        block = [b"x" * ((2 << 20) + number), b"y" * (256 << 10), b"z" * (2 << 20)]
        del block

tune_allocator()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
reader = threading.Thread(target=read_blocks)
reader.start()
reader.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


POOL = """
from exporter.allocator import tune_allocator
tune_allocator()

import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""

KEPT = """
from pathlib import Path
from exporter.allocator import give_back_memory, tune_allocator

def resident_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])

tune_allocator()
pieces = [bytes(1000) for _ in range(100_000)]
pieces = pieces[-1:]  # This one keeps the end of the heap where it is.
before = resident_kib()
give_back_memory()
print(before - resident_kib())
"""


def told_by(program: str, **environment: str) -> str:
    """What a process of its own prints."""
    names = ("MALLOC_", "GLIBC_TUNABLES", "ARROW_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    command = [sys.executable, "-c", program]
    return subprocess.check_output(command, env=plain | environment, text=True).strip()


def pages_taken(**environment: str) -> int:
    """How often the kernel had to give a page while blocks were read."""
    return int(told_by(PROGRAM, **environment))


def test_memory_of_a_block_serves_the_next_one() -> None:
    assert pages_taken() < PAGES // 10


def test_what_a_user_tells_the_allocator_stands() -> None:
    assert pages_taken(MALLOC_ARENA_MAX="8") > PAGES


def test_arrow_takes_its_memory_from_the_same_heaps() -> None:
    assert told_by(POOL) == "system"
    assert told_by(POOL, ARROW_DEFAULT_MEMORY_POOL="mimalloc") == "mimalloc"


def test_what_is_free_below_the_end_of_a_heap_is_given_back() -> None:
    assert int(told_by(KEPT)) > 80_000
