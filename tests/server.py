"""A real server as a process of its own, for one test."""

import os
import subprocess
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.waiting import free_port, wait_until


class Server:
    """A process on a free port; a context manager that ends it.

    Attributes:
        address: `host:port` that it answers at.
        url: the same as an address of the web, without a slash at the end.
        log: the file that holds what it says.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        command: Callable[[str], Sequence[str | Path]],
        ready_path: str = "/-/ready",
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            name: for its log, and for messages.
            directory: that its log goes to; it is made.
            command: from the address that it is to listen at.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.log = directory / f"{name.lower()}.log"
        self._name = name
        self._ready_path = ready_path
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command(self.address), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._is_ready, limit_s=30, what=f"{name} to become ready")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def processor_s(self) -> float:
        """Processor time that it has used; on a busy machine it tells more than the clock."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End the process and wait for it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{self._name} ended at its start:\n{self.log.read_text()}")
        try:
            with urllib.request.urlopen(self.url + self._ready_path, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
