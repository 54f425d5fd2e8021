"""What sources have open over a reload: to pipes, and files without a path, nothing else leads."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from exporter.sources.tail.discovery import Found, stands_at
from exporter.sources.tail.metrics import SourceMetrics
from exporter.sources.tail.pipe import Pipe

log = structlog.get_logger(__name__)


class OpenFile(NamedTuple):
    """A file that is being read, or of which it isn't known yet what it is.

    Attributes:
        found: as it was last seen.
        undelivered: bytes of it that were not.
    """

    fd: int
    found: Found
    undelivered: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What a source had open when it ended.

    Attributes:
        pipes: by path.
    """

    source: str
    metrics: SourceMetrics
    files: Sequence[OpenFile]
    pipes: Mapping[str, Pipe]

    def close(self) -> None:
        """Close all of it; what can't be found again, and was not delivered, is lost."""
        for pipe in self.pipes.values():
            pipe.close()
        for fd, found, undelivered in self.files:
            if undelivered and not stands_at(found.path, found.file_id):
                self.metrics.abandoned_bytes.inc(undelivered)
                log.error(
                    "deleted file let go of unread, for nobody goes on with it",
                    source=self.source,
                    path=found.path,
                    bytes=undelivered,
                )
            os.close(fd)


class Descriptors:
    """What sources had open, until sources of the same names take it.

    It outlives them, so that a change of the configuration loses nothing.
    """

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def keep(self, held: Held) -> None:
        """A source has ended."""
        # One that had no time for a look has nothing, and has left all to the next one.
        self._held.setdefault(held.source, held)

    def take(self, source: str) -> Held | None:
        """What the one before it had open, None if there was none."""
        return self._held.pop(source, None)

    def close(self, but: Collection[str] = ()) -> None:
        """Close what nobody is going to take.

        Args:
            but: sources that there still are.
        """
        for source in self._held.keys() - set(but):
            self._held.pop(source).close()
