"""A gateway that writes its logs in a thread of its own, and rotates them."""

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

Rotate = Callable[[Path, int], None]
"""Moves a log out of the way; is told which rotation it is, from 1 on."""

BETWEEN_WRITES_S = 0.03
"""At most."""


class Gateway(threading.Thread):
    """Appends requests to its logs, a line of them in two halves at each turn.

    Args:
        rotate_at_bytes: a log that has grown beyond it is rotated.

    Attributes:
        paths: where the logs are written.
        requests, input_tokens: what was written in whole lines.
    """

    def __init__(
        self, directory: Path, rotate: Rotate, *, logs: int = 1, rotate_at_bytes: int = 30_000
    ) -> None:
        super().__init__(daemon=True)
        self.paths = [directory / f"gateway-{number}.jsonl" for number in range(logs)]
        self._rotate = rotate
        self._rotate_at_bytes = rotate_at_bytes
        self._stopping = threading.Event()
        self._random = random.Random(4)
        self.requests = 0
        self.input_tokens = 0
        self.rotations = 0

    def stop(self) -> None:
        """Write no more; safe to call again, or before it has begun."""
        self._stopping.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        while not self._stopping.wait(self._random.uniform(0, BETWEEN_WRITES_S)):
            self.write(self._random.choice(self.paths), self._random.randrange(1, 20))

    def write(self, path: Path, requests: int) -> None:
        """Append so many to a log."""
        if path.exists() and path.stat().st_size > self._rotate_at_bytes:
            self.rotations += 1
            self._rotate(path, self.rotations)
        lines = b"".join(self._line() for _ in range(requests))
        with path.open("ab", buffering=0) as file:
            cut = self._random.randrange(len(lines))
            file.write(lines[:cut])
            file.write(lines[cut:])

    def _line(self) -> bytes:
        tokens = self._random.randrange(1, 1000)
        request = {
            "request_id": f"{self.requests:08}",
            "model": self._random.choice(["small", "large"]),
            "status_code": self._random.choice([200, 200, 200, 429]),
            "start_time": time.time(),
            "latency_s": self._random.random(),
            "input_tokens": tokens,
            "output_tokens": 1,
        }
        self.requests += 1
        self.input_tokens += tokens
        return json.dumps(request).encode() + b"\n"


def by_number(path: Path, rotation: int) -> None:
    """`log.1` is the newest of 20, so that a daemon that was down finds what it missed."""
    for number in range(20, 0, -1):
        old = Path(f"{path}.{number}")
        if old.exists():
            old.rename(f"{path}.{number + 1}")
    path.rename(f"{path}.1")
    Path(f"{path}.21").unlink(missing_ok=True)


def to_odd_names(path: Path, rotation: int) -> None:
    """Names of no usual form, none of them deleted."""
    stamp = f"2026-11-28T11-00-{rotation:02}.{rotation:03}"
    names = (f"{path.name}.{rotation + 100}", f"{path.stem}-{stamp}.jsonl")
    path.rename(path.with_name(names[rotation % 2]))
