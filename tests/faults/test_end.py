"""An end that does not come by itself."""

import sys
from pathlib import Path

from tests.daemon import Daemon
from tests.setup import Setup, counts, line

STUCK = """
import time
from exporter import daemon, readers
from exporter.cli import main

daemon.END_MARGIN_S = 0.5
readers.Readers.stop = lambda self: time.sleep(3600)
main()
"""


def test_what_is_stuck_at_the_end_is_told_and_left(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.append(*[line()] * 1000)
    with Daemon(setup.config_file, program=(sys.executable, "-c", STUCK)).wait_ready() as daemon:
        counts(daemon, 1000)
        assert daemon.end() == 1
        assert "in <lambda>" in daemon.log.read_text()
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1000)
