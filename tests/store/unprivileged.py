"""Opens a state as a user who is not root: `python -m tests.store.unprivileged DIRECTORY`.

Root may write anywhere. Writes why the state cannot be used, or what it holds.
"""

import os
import sys
from pathlib import Path

from exporter.errors import StateError
from exporter.store.state import StateStore
from exporter.vocabulary import INSTRUMENTS

NOBODY = 65534


def become_nobody() -> None:
    """Let go of root's rights, if this is root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def main() -> None:
    become_nobody()
    try:
        series = StateStore(Path(sys.argv[1])).series(INSTRUMENTS)
    except StateError as error:
        sys.stdout.write(str(error))
    else:
        sys.stdout.write(f"{len(series)} series")


if __name__ == "__main__":
    main()
