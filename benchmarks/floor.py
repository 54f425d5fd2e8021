"""What nobody can be faster than in Python: reading the log and splitting it into lines."""

import sys
from pathlib import Path

with Path(sys.argv[1]).open("rb") as log:
    print(sum(1 for _ in log))
