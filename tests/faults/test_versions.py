"""A state as another version of this program has left it.

`tests/data/state-1` is one of the first version: three requests are counted and logged, and their
log is read to its end. A version that changes a format must still go on from it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.cli import EX_CONFIG
from tests.setup import TOKENS, Setup, counts, line

FIRST = Path(__file__).parents[1] / "data" / "state-1"
CREATED = "llm_gateway_exporter_state_created_timestamp_seconds"


def run_sql(database: Path, script: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(script)


@pytest.fixture
def old(tmp_path: Path) -> Setup:
    setup = Setup(tmp_path)
    setup.rest = {"labels": {"attributes": ["team"]}, "request_log": {"retention": "3650d"}}
    setup.write()
    setup.log.write_bytes((FIRST / "requests.jsonl").read_bytes())
    (setup.state / "requests").mkdir(parents=True)
    run_sql(setup.state / "state.db", (FIRST / "state.sql").read_text())
    run_sql(setup.state / "requests" / "2026-11-28.db", (FIRST / "2026-11-28.sql").read_text())
    return setup


@pytest.mark.fault("state of another version")
def test_a_state_of_the_first_version_is_gone_on_from(old: Setup) -> None:
    old.append(line(request_id="id-4", start_time="2026-11-28T13:00:00Z", team="blue"))
    with old.start().wait_ready() as daemon:
        counts(daemon, 4, team="blue")
        assert daemon.total(TOKENS, gen_ai_token_type="input") == 4 * 3
        assert daemon.total("gen_ai_server_request_duration_seconds_sum") == 0.25 + 0.5 + 0.75
        assert daemon.total(CREATED) == pytest.approx(1795881773.57)
        daemon.end()
    found = {request.request_id: request.attributes for request in old.logged()}
    assert found == {f"id-{number}": {"team": "blue"} for number in range(1, 5)}


@pytest.mark.fault("state of another version")
def test_a_state_of_a_later_version_is_refused_with_both_versions_named(old: Setup) -> None:
    later = "pragma journal_mode = wal; update facts set value = '2' where name = 'schema'"
    run_sql(old.state / "state.db", later)
    before = (old.state / "state.db").read_bytes()
    with old.start() as daemon:
        assert daemon.process.wait(60) == EX_CONFIG
        told = daemon.log.read_text()
    assert "written by another version of this program (tables 2, this one reads 1)" in told
    assert (old.state / "state.db").read_bytes() == before
