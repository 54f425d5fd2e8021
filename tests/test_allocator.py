"""What becomes of memory that a block of lines has taken."""

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


def pages_taken(**environment: str) -> int:
    """How often the kernel had to give a page while blocks were read."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    told = subprocess.check_output([sys.executable, "-c", PROGRAM], env=plain | environment)
    return int(told)


def test_memory_of_a_block_serves_the_next_one() -> None:
    assert pages_taken() < PAGES // 10


def test_what_a_user_tells_the_allocator_stands() -> None:
    assert pages_taken(MALLOC_ARENA_MAX="8") > PAGES
