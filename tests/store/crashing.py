"""Dies at each statement in turn: `python -m tests.store.crashing DIRECTORY COMMITS`.

For k = 1, 2, …: on a fresh copy of the directory, a child process opens the state and commits that
many times, and ends without a farewell before its k-th SQL statement; then another child opens what
is left. Writes a JSON list of [position published, position found] once a child came through. A
check that fails ends it with a traceback.
"""

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import apsw

from tests.store.committing import Committing

KILLED, FAILED = 9, 1


def in_child(work: Callable[[], None]) -> int:
    """The exit status of a child process that does some work."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(FAILED)
    os._exit(0)


def die_at(statement: int) -> None:
    """End the process before that statement of all that any connection executes."""
    left = statement

    def trace(cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(KILLED)
        return True

    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(trace))


def main() -> None:
    directory, commits = Path(sys.argv[1]), int(sys.argv[2])
    results: list[tuple[int, int]] = []
    status = KILLED
    while status == KILLED:
        copy = directory.with_name(f"{directory.name}-{len(results)}")
        shutil.copytree(directory, copy)
        told = copy / "position"

        def work(copy: Path = copy, told: Path = told) -> None:
            die_at(len(results) + 1)
            committing = Committing(copy)
            for _ in range(commits):
                committing.commit()
                told.write_text(str(committing.position))

        def reopen(copy: Path = copy) -> None:
            committing = Committing(copy)
            committing.check()
            (copy / "after").write_text(str(committing.position))
            committing.commit()
            committing.check()

        status = in_child(work)
        if in_child(reopen):
            sys.exit(f"after the crash at statement {len(results) + 1}")
        published = int(told.read_text()) if told.exists() else 0
        results.append((published, int((copy / "after").read_text())))
        shutil.rmtree(copy)
    json.dump(results, sys.stdout)
    sys.exit(status)


if __name__ == "__main__":
    main()
