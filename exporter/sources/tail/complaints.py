"""Troubles with files, each told once and not again until it has passed."""

import structlog
from prometheus_client import Counter

log = structlog.get_logger(__name__)


TRIED_AGAIN = "tried again at the next look"

MOST_TOLD = 10_000
"""Troubles that are remembered: of a file that is gone it is never said that they have passed."""


class Complaints:
    """Logs and counts a file's trouble when it begins."""

    def __init__(self, source: str, counter: Counter) -> None:
        self._source = source
        self._counter = counter
        self._told: dict[tuple[str, str], str] = {}

    def about(self, path: str, doing: str, trouble: OSError | str, so: str) -> None:
        """Tell of a trouble that came while `doing` something, and what is done about it."""
        text = (trouble.strerror or str(trouble)) if isinstance(trouble, OSError) else trouble
        before = self._told.pop((path, doing), None)
        self._told[path, doing] = text
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        if text != before:
            self._counter.inc()
            log.warning(f"cannot {doing}", source=self._source, path=path, error=text, so=so)

    def over(self, path: str, doing: str) -> None:
        """The trouble with that has passed, if there was one."""
        if (path, doing) in self._told:
            del self._told[path, doing]
            log.info(f"can {doing} again", source=self._source, path=path)
