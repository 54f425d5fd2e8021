"""Reads a request log as who is not root: `python -m tests.requestlog.unprivileged DIRECTORY`.

Writes as JSON, for each way of reading it, what was found or why it cannot be read.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from exporter.web.requests.access import AccessError, FilesAccess
from tests.store.unprivileged import become_nobody


def main() -> None:
    become_nobody()
    log = FilesAccess(Path(sys.argv[1]))

    def exported() -> list[str]:
        chunks = log.export([], "csv", ["request_id"], raw=False)
        return b"".join(chunk for chunk, _ in chunks).decode().split()

    ways: dict[str, Callable[[], object]] = {
        "page": lambda: [request.request_id for request in log.page([], 10).items],
        "get": lambda: getattr(log.get("old"), "request_id", None),
        "count": lambda: log.count([]),
        "export": exported,
    }
    told: dict[str, object] = {}
    for name, way in ways.items():
        try:
            told[name] = way()
        except AccessError as error:
            told[name] = str(error)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
