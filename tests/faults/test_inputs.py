"""What a gateway, or its clients, may write: more of it than anybody should."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.pipeline import MOST_KINDS
from tests.gateway import by_number
from tests.setup import Setup, counts, line

LINE_BYTES = 2 << 30
MODELS = 1_000_000 if "FULL_SIZE" in os.environ else 50_000
LIMIT_S = 100


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.mark.fault("line of 2 GiB")
def test_a_huge_line_is_skipped_in_little_memory_and_the_next_is_read(setup: Setup) -> None:
    piece = b"x" * (8 << 20)
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        counts(daemon, 1)
        before = daemon.peak_mib()
        with setup.log.open("ab", buffering=0) as log:
            log.write(b'{"model": "')
            for _ in range(LINE_BYTES // len(piece)):
                log.write(piece)
            log.write(b'"}\n')
        setup.append(line())
        counts(daemon, 2, LIMIT_S)
        assert daemon.total("llm_gateway_exporter_tail_lines_too_long_total") == 1
        assert daemon.peak_mib() - before < 64
    setup.log.unlink()  # pytest keeps what tests leave.


def names(models: int) -> Iterator[str]:
    """Each second name succeeds, as those of a gateway that answers for any name do."""
    for number in range(models):
        yield line(f"invented-{number}", status_code=(200, 404)[number % 2])


@pytest.mark.fault("50,000 names of models; 1,000,000 with `FULL_SIZE=1`")
@pytest.mark.timeout(900)
def test_invented_names_take_little_memory_and_are_counted_as_other(setup: Setup) -> None:
    assert MODELS > 3 * MOST_KINDS, "or nothing is ever forgotten"
    setup.rest["labels"] = {"limit": 10}
    setup.write()
    setup.append(line("invented-0"))
    with setup.start().wait_ready() as daemon:
        before = daemon.peak_mib()
        setup.append(*names(MODELS))
        counts(daemon, MODELS + 1, MODELS / 1000)
        counts(daemon, MODELS - 10, gen_ai_request_model="other")
        folded = "llm_gateway_exporter_series_folded_total"
        assert daemon.total(folded, label="gen_ai_request_model") == MODELS - 10
        assert daemon.total("llm_gateway_exporter_series") < 1000
        assert daemon.peak_mib() - before < 110


@pytest.mark.fault("writer of 1 GiB a minute, whose log is rotated twice a second")
def test_nothing_of_a_gateway_that_writes_as_fast_as_it_can_is_lost(setup: Setup) -> None:
    size_bytes, times, every_s = (1 << 30) // 60 // 20, 60, 0.05
    each = size_bytes // len(line(request_id="id-100000", padding="x" * 270))
    lines = [line(request_id=f"id-{id}", padding="x" * 270) for id in range(times * each)]
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        before = daemon.peak_mib()
        began = time.monotonic()
        for number in range(1, times + 1):
            if number % 10 == 0:
                by_number(setup.log, number // 10)
            setup.append(*lines[(number - 1) * each : number * each])
            time.sleep(max(0.0, began + number * every_s - time.monotonic()))  # its pace
        counts(daemon, len(lines) + 1, LIMIT_S)
        assert daemon.peak_mib() - before < 200
