"""Dies at each step of a request log's life: `python -m tests.faults.crashing_log DIRECTORY`.

The log has three days. While it is written the first one passes out of the retention and is
deleted, and the second one is over, indexed and closed. For k = 1, 2, …: a child process lives that
life on a directory of its own, and ends before its k-th step; another one looks at what is left,
and lives the rest of it. Writes a JSON list of all steps once a child came through. A check that
fails ends it with a traceback.
"""

import json
import shutil
import sys
from pathlib import Path

from exporter import logs
from exporter.requestlog.filter import Filter
from exporter.requestlog.log import RETENTION_EVERY_S
from tests.faults.dying import KILLED, DyingFileSystem, Steps
from tests.requestlog.logging_requests import DAY_S, NOON, Logging, a_request, day_text
from tests.store.crashing import in_child

DAYS = (
    (NOON - DAY_S, "oldest", NOON - 2 * DAY_S),
    (NOON - DAY_S, "yesterday", NOON - DAY_S),
    (NOON, "late", NOON - DAY_S / 2 - 1),
    (NOON, "today", NOON),
)
"""When requests are written, whose they are, and when they began."""

WRITTEN = [(now, f"{name}-{each}", start) for now, name, start in DAYS for each in range(3)]


class Life:
    """The log and its state, wherever they were left.

    The state is a file with two numbers: of commits, and of requests that were written.
    """

    def __init__(self, directory: Path, steps: Steps) -> None:
        self._steps = steps
        self._state = directory / "state"
        numbers = self._state.read_text().split() if self._state.exists() else "00"
        batch, self.position = map(int, numbers)
        now = WRITTEN[min(self.position, len(WRITTEN) - 1)][0]
        self.directory = directory / "requests"
        self.log = Logging(self.directory, days=1, batch=batch, now=now)

    def live(self, at_once: int) -> None:
        """What is left of it, to its end, with so many requests a commit."""
        while rest := WRITTEN[self.position :]:
            self.log.now = rest[0][0]
            batch = [each for each in rest[:at_once] if each[0] == self.log.now]
            self.log.add(*(a_request(id, start) for _, id, start in batch))
            self.log.log.commit(self.log.batch + 1)
            self._steps.take("state")
            self.log.batch += 1
            self.position += len(batch)
            self._state.write_text(f"{self.log.batch} {self.position}")
            self.log.log.committed()
            self.log.log.tend()
        for _ in DAYS:
            self.log.now += RETENTION_EVERY_S
            self.log.log.tend()
        self.log.log.close()

    def shown(self) -> list[str]:
        """What readers see but for the oldest day, in order."""
        tables = self.log.search.export(Filter())
        ids = [request.request_id or "" for table in tables for request in table.requests()]
        return sorted(id for id in ids if not id.startswith("oldest"))

    def written(self) -> list[str]:
        """What they should see."""
        ids = (id for _, id, _ in WRITTEN[: self.position])
        return sorted(id for id in ids if not id.startswith("oldest"))


def die(directory: Path, last: int) -> None:
    """A life that ends before its step of this number, if it has as many."""
    steps = Steps(last)
    file_system = DyingFileSystem(steps)
    Life(directory, steps).live(at_once=3)
    file_system.unregister()
    (directory / "steps").write_text(json.dumps(steps.taken))


def look(directory: Path) -> None:
    """At what is left, and live the rest, in which other requests are committed together."""
    life = Life(directory, Steps(0))
    assert life.shown() == life.written()
    life.live(at_once=2)
    assert life.shown() == life.written()
    assert {path.stem for path in life.directory.iterdir()} == {day_text(1), day_text()}


def main() -> None:
    logs.configure("error", "logfmt")
    directory = Path(sys.argv[1])
    last, status = 0, KILLED
    while status == KILLED:
        last += 1
        place = directory / str(last)
        place.mkdir()
        status = in_child(lambda: die(place, last))  # noqa: B023
        if in_child(lambda: look(place)):  # noqa: B023
            sys.exit(f"after the crash at step {last}")
        if status == 0:
            sys.stdout.write((place / "steps").read_text())
        shutil.rmtree(place)
    sys.exit(status)


if __name__ == "__main__":
    main()
