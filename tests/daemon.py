"""The daemon as a process of its own, as its users run it."""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import free_port, wait_until


class Daemon:
    """A running `llm-gateway-exporter run`; a context manager that ends it.

    Attributes:
        address: `host:port` that it serves at.
        log: the file that holds what it says.
    """

    def __init__(
        self,
        config_file: Path | None,
        *,
        address: str = "",
        flags: Sequence[str] = (),
        command: str = "run",
        log: Path | None = None,
        program: Sequence[str] = (sys.executable, "-m", "exporter"),
    ) -> None:
        """Start it; its log goes beside the configuration unless it is to go elsewhere."""
        self.address = address or f"127.0.0.1:{free_port()}"
        arguments = [] if config_file is None else [f"--config.file={config_file}"]
        log_file = log or (config_file and config_file.with_suffix(".log"))
        if log_file is None:
            raise ValueError("without a configuration there must be a log")
        self.log = log_file
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(*program, command, *arguments),
                    *(f"--web.listen-address={self.address}", *flags),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        return self._ask(path)

    def post(self, path: str, body: str = "") -> tuple[int, str]:
        """Status and body of what comes back."""
        return self._ask(path, body.encode())

    def _ask(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        try:
            url = f"http://{self.address}{path}"
            with urllib.request.urlopen(url, body, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def is_ready(self) -> bool:
        """Whether it says that its series can be relied on."""
        if self.process.poll() is not None:
            raise AssertionError(
                f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()}"
            )
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def wait_ready(self, within_s: float = 60) -> Self:
        """Wait until it is; one that does not become ready is killed."""
        try:
            wait_until(self.is_ready, within_s, "the daemon to become ready", every_s=0.1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def total(self, name: str, **labels: str) -> float:
        """The sum over the series of a name that have these labels; 0 where there are none."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def proc(self) -> Path:
        """What proc(5) has of it."""
        return Path(f"/proc/{self.process.pid}")

    def children(self) -> list[int]:
        """Process ids of its workers."""
        found = (self.proc / "task").glob("*/children")
        return [int(pid) for child in found for pid in child.read_text().split()]

    def descriptors(self) -> list[int]:
        """Those that are open."""
        return sorted(int(entry.name) for entry in (self.proc / "fd").iterdir())

    def peak_mib(self) -> float:
        """The most memory that it has had in use."""
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (self.proc / "status").read_text())
        return int(peak) / 1024

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)
