"""A real Alertmanager, as Debian packages it, and a web server that takes its notifications."""

import json
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

from tests.server import Server


class Alertmanager(Server):
    """An Alertmanager process on a free port."""

    def __init__(self, program: Path, directory: Path, config_file: Path) -> None:
        super().__init__(
            "Alertmanager",
            directory,
            lambda address: [
                program,
                f"--config.file={config_file}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
        )

    def alerts(self) -> list[Mapping[str, Any]]:
        """The alerts that it knows, with their status."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            found: list[Mapping[str, Any]] = json.load(answer)
        return found


class Mailbox:
    """A web server that keeps what is posted to it, by path; a context manager that ends it."""

    def __init__(self) -> None:
        received: dict[str, list[Mapping[str, Any]]] = defaultdict(list)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received[self.path].append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
