"""What tests of several parts share: Debian's programs, a real Prometheus."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.counting import MEMORY
from tests.debian import program
from tests.prometheus import Prometheus


class StartPrometheus(Protocol):
    """Starts a Prometheus on the text of a prometheus.yml; it ends with the test."""

    def __call__(self, config: str, flags: Sequence[str] = ()) -> Prometheus: ...


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A directory in memory, where there is one."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that any user can get to, unlike `tmp_path`."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


@pytest.fixture
def start_prometheus(prometheus_program: Path, tmp_path: Path) -> Iterator[StartPrometheus]:
    """A function that starts real Prometheus servers, each ended with the test."""
    with ExitStack() as running:
        started = 0

        def start(config: str, flags: Sequence[str] = ()) -> Prometheus:
            nonlocal started
            started += 1
            directory = tmp_path / f"prometheus-{started}"
            return running.enter_context(Prometheus(prometheus_program, directory, config, flags))

        yield start


@pytest.fixture(scope="session")
def prometheus_program() -> Path:
    return program("prometheus")


@pytest.fixture(scope="session")
def promtool() -> Path:
    return program("promtool")


@pytest.fixture(scope="session")
def alertmanager_program() -> Path:
    return program("prometheus-alertmanager")


@pytest.fixture(scope="session")
def amtool() -> Path:
    return program("amtool")


@pytest.fixture(scope="session")
def chromium() -> Path:
    return program("chromium")


@pytest.fixture(scope="session")
def mtail() -> Path:
    return program("mtail")
