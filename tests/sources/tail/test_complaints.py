"""Troubles with files are told once, and the memory of them has a bound."""

import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from exporter.sources.tail import complaints
from exporter.sources.tail.complaints import Complaints


def test_a_trouble_that_lasts_is_told_once_whatever_troubles_come_and_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(complaints, "MOST_TOLD", 10)
    counter = Counter("errors", "Troubles.", registry=CollectorRegistry())
    told = Complaints("gateway", counter)
    with capture_logs() as logs:
        for number in range(50):
            told.about("lasting.log", "open file", "Permission denied", "tried again")
            told.about(f"{number}.log", "open file", "Permission denied", "tried again")
        told.over("49.log", "open file")
        told.over("0.log", "open file")
    assert len(told._told) == 9
    assert [entry["path"] for entry in logs] == [
        "lasting.log", *(f"{number}.log" for number in range(50)), "49.log",
    ]  # fmt: skip
