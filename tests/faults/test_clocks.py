"""Days on which an hour is missing, or comes twice."""

from pathlib import Path

import pytest

from tests.setup import Setup, counts, line


@pytest.mark.fault("daylight saving time begins and ends")
def test_local_times_are_right_before_and_after_an_hour_that_is_missing_or_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")  # The daemon's own zone means nothing.
    written = {
        "2026-03-29T00:59:59": "2026-03-28T23:59:59.000000Z",
        "2026-03-29T01:59:59": "2026-03-29T00:59:59.000000Z",
        "2026-03-29T02:30:00": "2026-03-29T01:30:00.000000Z",
        "2026-03-29T03:00:00": "2026-03-29T01:00:00.000000Z",
        "2026-10-25T00:30:00": "2026-10-24T22:30:00.000000Z",
        "2026-10-25T02:30:00": "2026-10-25T00:30:00.000000Z",
        "2026-10-25T02:30:00+02:00": "2026-10-25T00:30:00.000000Z",
        "2026-10-25T02:30:00+01:00": "2026-10-25T01:30:00.000000Z",
        "2026-10-25T03:00:00": "2026-10-25T02:00:00.000000Z",
    }
    setup = Setup(tmp_path)
    setup.tail["timezone"] = "Europe/Berlin"
    setup.rest["request_log"] = {"retention": "3650d"}
    setup.write()
    setup.append(*(line(request_id=local, start_time=local) for local in written))
    with setup.start().wait_ready() as daemon:
        counts(daemon, len(written))
        daemon.end()
    found = {request.request_id: request.start_time for request in setup.logged()}
    assert found == written
    days = {instant.partition("T")[0] for instant in written.values()}
    assert {path.stem for path in (setup.state / "requests").glob("*.db")} == days
