"""A scraper that remembers what it was told."""

import re
import threading
import urllib.request
from http.client import HTTPException

from tests.setup import REQUESTS

_VALUES = re.compile(rf"^{REQUESTS}.* (\S+)$", re.MULTILINE)


class Scraper(threading.Thread):
    """Scrapes an address again and again.

    Attributes:
        seen: all requests, as each scrape told.
    """

    def __init__(self, address: str, every_s: float = 0.1) -> None:
        super().__init__(daemon=True)
        self._url = f"http://{address}/metrics"
        self._every_s = every_s
        self._stopping = threading.Event()
        self.seen: list[float] = []

    def run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                with urllib.request.urlopen(self._url, timeout=10) as response:
                    values = _VALUES.findall(response.read().decode())
            except (OSError, HTTPException):
                continue  # It is being started.
            self.seen.append(sum(map(float, values)))

    def stop(self) -> None:
        """Scrape no more."""
        self._stopping.set()
        self.join()
