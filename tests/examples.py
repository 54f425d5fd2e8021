"""How many examples a random test tries: few in each run, many when somebody looks for rare ones.

`EXAMPLES_TIMES=100 pytest --timeout 0 tests/sources/tail/test_random.py` tries a hundred times as
many.
"""

import os

TIMES = int(os.environ.get("EXAMPLES_TIMES", "1"))


def examples(usual: int) -> int:
    """For `max_examples` of hypothesis' settings."""
    return usual * TIMES
