"""Old logs become rows and history, once, beside a daemon's own."""

import gzip
import json
import os
import re
import resource
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporter.backfill import run
from exporter.cli import main
from exporter.config import load_config
from exporter.engine import Engine, Metrics
from exporter.requestlog.filter import Filter
from exporter.requestlog.search import RequestSearch
from exporter.store.state import StateStore
from tests.conftest import StartPrometheus

DAY_S = 86_400
NOW = datetime.now(UTC).timestamp()
BEGAN = NOW // DAY_S * DAY_S - 2 * DAY_S
"""Midnight, some days ago: the request log would not keep what is much older."""


def line(number: int, end: float, model: str = "qwen", **more: object) -> bytes:
    request = {
        "request_id": f"id-{number}", "model": model, "status_code": 200,
        "start_time": end - 1, "latency_s": 1, "input_tokens": 10, "output_tokens": 5, **more,
    }  # fmt: skip
    return json.dumps(request).encode() + b"\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    tail = {"paths": [f"{tmp_path}/live.jsonl"], "format": "records"}
    settings = {
        "state_dir": f"{tmp_path}/state",
        "sources": [{"name": "log", "tail": tail}],
        "labels": {"models": ["qwen"]},
    }
    path.write_text(json.dumps(settings))
    return path


def backfill(config: Path, *files: Path, metrics: Path | None = None) -> Result:
    flags = [f"--config.file={config}", "--source=log"]
    directory = f"--metrics={metrics or config.parent / 'history'}"
    return CliRunner().invoke(main, ["backfill", *flags, directory, *map(str, files)])


def fails_after(commits: int) -> Callable[..., None]:
    """A state's `commit` that meets a full disk after some."""
    commit, left = StateStore.commit, [commits]

    def fails(self: StateStore, *values: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the disk is full")
        commit(self, *values)

    return fails


def logged(config: Path) -> list[str | None]:
    search = RequestSearch(config.parent / "state" / "requests")
    return [r.request_id for table in search.export(Filter()) for r in table.requests()]


def samples(config: Path, name: str) -> list[tuple[float, float]]:
    """Time and value of each sample of a name, all days, in the order of the files."""
    found = []
    for path in sorted((config.parent / "history").glob("*.om")):
        text = path.read_text()
        assert text.endswith("# EOF\n")
        assert text.count("# EOF") == 1
        matches = re.finditer(rf"^{name}{{.*}} (\S+) (\S+)$", text, re.MULTILINE)
        found += [(float(match[2]), float(match[1])) for match in matches]
    return found


def totals(config: Path) -> list[tuple[float, float]]:
    return samples(config, r'llm_gateway_requests_total(?={[^\n]*status_code="200")')


def test_old_requests_become_rows_and_samples_at_their_time(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "old.jsonl"
    log.write_bytes(b"".join(line(n, BEGAN + 60 * n + 30) for n in range(3)) + line(3, BEGAN + 900))
    done = backfill(config, log)
    assert done.exit_code == 0, done.output
    assert "4 requests of 4 lines" in done.stdout
    assert logged(config) == ["id-0", "id-1", "id-2", "id-3"]
    requests = totals(config)
    changes = [one for n, one in enumerate(requests) if n == 0 or one[1] != requests[n - 1][1]]
    assert changes == [
        (BEGAN, 0),
        *((BEGAN + 60 * n + 59.999, n + 1) for n in range(3)),
        (BEGAN + 959.999, 4),
    ]
    times = [time for time, _ in requests]
    assert max(after - before for before, after in pairwise(times)) <= 300


def test_several_files_plain_and_gzip_are_merged_by_time(config: Path, tmp_path: Path) -> None:
    early, late = tmp_path / "b.jsonl.gz", tmp_path / "a.jsonl"
    early.write_bytes(gzip.compress(b"".join(line(n, BEGAN + 60 * n) for n in range(0, 100, 2))))
    late.write_bytes(b"".join(line(n, BEGAN + 60 * n) for n in range(1, 100, 2)))
    assert "100 requests" in backfill(config, late, early).stdout
    assert logged(config) == [f"id-{n}" for n in range(100)]
    values = [value for _, value in totals(config)]
    assert values == sorted(values)
    assert values[-1] == 100


def test_more_names_than_are_remembered_count_whole(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_KINDS", 50)
    log = tmp_path / "old.jsonl"
    log.write_bytes(b"".join(line(n, BEGAN + 15 * n, f"model-{n}") for n in range(400)))
    done = backfill(config, log)
    assert "400 requests of 400 lines" in done.stdout, done.exception
    search = RequestSearch(config.parent / "state" / "requests")
    rows = [r for table in search.export(Filter()) for r in table.requests()]
    assert [(r.request_id, r.model) for r in rows] == [
        (f"id-{n}", f"model-{n}") for n in range(400)
    ]


def test_there_may_be_more_files_than_can_be_open(config: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.jsonl" for n in range(100)]
    for place, file in enumerate(files):
        file.write_bytes(b"".join(line(n, BEGAN + 60 * n) for n in range(3 * place, 3 * place + 4)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, limits[1]))
    try:
        done = backfill(config, *reversed(files))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "400 requests" in done.stdout, done.output
    values = [value for _, value in totals(config)]
    assert (values, values[-1]) == (sorted(values), 400)


def three_logs(tmp_path: Path) -> list[Path]:
    """Ten requests in each, ten hours apart; midnight is within the first."""
    logs = [tmp_path / f"{n}.jsonl" for n in range(3)]
    for n, log in enumerate(logs):
        begin = BEGAN - 300 + 36_000 * n
        log.write_bytes(b"".join(line(10 * n + k, begin + 60 * k) for k in range(10)))
    return logs


def test_a_backfill_goes_on_where_its_metrics_were_moved_away(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = three_logs(tmp_path)
    assert backfill(config, first).exit_code == 0
    whole, last = sorted((tmp_path / "history").iterdir())
    last.rename(tmp_path / "imported.om")
    before = whole.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(StateStore, "commit", fails_after(0))
        assert "interrupted; run it again" in backfill(config, second).stderr
    assert backfill(config, second).exit_code == 0
    assert whole.read_bytes() == before
    assert last.read_bytes().startswith(b"# HELP")
    requests = totals(config)
    assert requests == sorted(set(requests))
    assert requests[-1] == (BEGAN - 300 + 36_000 + 600 - 0.001, 20)

    elsewhere = tmp_path / "elsewhere"
    assert backfill(config, third, metrics=elsewhere).exit_code == 0
    assert totals(config) == requests
    (path,) = elsewhere.iterdir()
    path.rename(last)
    assert totals(config)[-1] == (BEGAN - 300 + 72_000 + 600 - 0.001, 30)


def test_the_metrics_of_another_backfill_are_left_as_they_are(config: Path, tmp_path: Path) -> None:
    log, *_ = three_logs(tmp_path)
    assert backfill(config, log).exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "history").iterdir()}
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "state_dir": f"{tmp_path}/other"}))
    refused = backfill(config, log)
    assert refused.exit_code == 78
    assert refused.stderr.startswith(f"{min(before)}: is of another backfill; name another")
    assert {path: path.read_bytes() for path in (tmp_path / "history").iterdir()} == before


def test_a_file_of_metrics_that_lost_its_end_is_named(config: Path, tmp_path: Path) -> None:
    log, later, _ = three_logs(tmp_path)
    assert backfill(config, log).exit_code == 0
    path = max((tmp_path / "history").iterdir())
    path.write_bytes(path.read_bytes()[:1000])
    refused = backfill(config, later)
    assert refused.exit_code == 78
    assert refused.stderr.startswith(f"{path}: is shorter than an earlier run left it; move it")
    assert path.stat().st_size == 1000


@pytest.mark.fault("kill -9 of a backfill")
def test_an_interrupted_backfill_goes_on_and_counts_nothing_twice(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for place, file in enumerate(files):
        file.write_bytes(b"".join(line(n, BEGAN + 45 * n) for n in range(place, 400, 2)))
    for moment in (0, 1, 50, 120, 121):
        with monkeypatch.context() as patched:
            patched.setattr(StateStore, "commit", fails_after(moment))
            done = backfill(config, *files)
        assert "interrupted; run it again to go on: the disk is full" in done.stderr
    assert backfill(config, *files).exit_code == 0
    assert sorted(logged(config), key=str) == sorted(f"id-{n}" for n in range(400))
    requests = totals(config)
    assert requests[-1][1] == 400
    assert len({time for time, _ in requests}) == len(requests)
    again = backfill(config, *files)
    assert "0 requests of 0 lines" in again.stdout
    assert totals(config) == requests
    assert len(logged(config)) == 400


def test_late_lines_where_a_backfill_goes_on_count_once_and_in_order(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line(n, BEGAN + 60 * minute) for n, minute in enumerate((0, 9, 9, 3, 9, 30))]
    three_lines = len(lines[0] + lines[1]) + 1
    monkeypatch.setattr("exporter.backfill.reading.CHUNK_BYTES", three_lines)
    log = tmp_path / "old.jsonl"
    log.write_bytes(b"".join(lines))
    commit, left = StateStore.commit, [1]

    def fails(self: StateStore, *values: Any) -> None:
        commit(self, *values)
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(StateStore, "commit", fails)
        assert backfill(config, log).exit_code == 78
    assert backfill(config, log).exit_code == 0
    assert totals(config)[-1] == (BEGAN + 60 * 31 - 0.001, 6)
    log.write_bytes(log.read_bytes() + line(6, BEGAN + 60 * 4))
    assert backfill(config, log).exit_code == 0
    requests = totals(config)
    assert requests == sorted(set(requests))
    assert requests[-1] == (BEGAN + 60 * 32 - 0.001, 7)
    assert max(after - before for (before, _), (after, _) in pairwise(requests)) <= 300


def test_a_last_line_without_a_newline_is_read_and_none_of_what_comes_after_it_is_lost(
    config: Path, tmp_path: Path
) -> None:
    log = tmp_path / "old.jsonl"
    log.write_bytes(line(0, BEGAN)[:-1])
    assert "1 requests of 1 lines" in backfill(config, log).stdout
    with log.open("ab") as file:
        file.write(line(1, BEGAN + 60))
    assert "1 requests of 1 lines" in backfill(config, log).stdout
    assert logged(config) == ["id-0", "id-1"]


def test_files_that_an_earlier_backfill_has_passed_are_refused(
    config: Path, tmp_path: Path
) -> None:
    late, early = tmp_path / "late.jsonl", tmp_path / "early.jsonl"
    late.write_bytes(line(1, BEGAN + DAY_S))
    early.write_bytes(line(0, BEGAN))
    assert backfill(config, late).exit_code == 0
    requests = totals(config)
    refused = backfill(config, early)
    assert refused.exit_code == 78
    assert refused.stderr.startswith(
        f"{early}: has requests of {datetime.fromtimestamp(BEGAN, UTC):%Y-%m-%d}"
    )
    assert f"delete {tmp_path}/state/backfill" in refused.stderr
    assert totals(config) == requests
    assert logged(config) == ["id-1"]


def test_the_daemons_counts_and_rows_are_not_touched(config: Path, tmp_path: Path) -> None:
    loaded = load_config(config)
    (tmp_path / "live.jsonl").write_bytes(line(1, NOW - 5000) + line(2, NOW - 10))
    with_state = StateStore(loaded.state_dir)
    engine = Engine(loaded, with_state, Metrics())
    engine.pipeline.step()
    engine.pipeline.stop()
    old = tmp_path / "old.jsonl"
    # The daemon has read the last two already; only one of them ended before it began.
    old.write_bytes(line(0, NOW - 9000) + line(1, NOW - 5000) + line(9, NOW + 3600))
    done = backfill(config, old)
    assert "2 requests of 3 lines" in done.stdout
    assert "1 requests are left out, for the daemon counts them" in done.stdout
    assert sorted(map(str, logged(config))) == ["id-0", "id-1", "id-2"]
    assert totals(config)[-1][1] == 2
    batch = with_state.batch
    with_state.close()
    assert StateStore(loaded.state_dir).batch == batch


def test_what_the_daemon_has_logged_of_the_source_gets_no_second_row(
    config: Path, tmp_path: Path
) -> None:
    settings = json.loads(config.read_text())
    tail = {"paths": [f"{tmp_path}/second.jsonl"], "format": "records"}
    settings["sources"].append({"name": "second", "tail": tail})
    config.write_text(json.dumps(settings))
    loaded = load_config(config)
    late = line(2, BEGAN + 120, request_id="a client's\njoke")
    (tmp_path / "live.jsonl").write_bytes(late + line(9, NOW - 10))
    (tmp_path / "second.jsonl").write_bytes(line(3, BEGAN + 180) + line(8, BEGAN - DAY_S))
    engine = Engine(loaded, StateStore(loaded.state_dir), Metrics())
    engine.pipeline.step()
    engine.pipeline.stop()
    old = [line(0, BEGAN + 2), line(1, BEGAN + 60, request_id=None), late, line(3, BEGAN + 180)]
    log = tmp_path / "old.jsonl"
    log.write_bytes(b"".join([*old, line(4, BEGAN + 240, request_id=None)]))
    done = backfill(config, log)
    assert "5 requests of 5 lines\n2 requests are logged already, or may be" in done.stdout
    rows = ["id-0", "a client's joke", "id-3", "id-3", "id-8", "id-9", None]
    assert sorted(logged(config), key=str) == sorted(rows, key=str)
    assert totals(config)[-1][1] == 5


def test_where_the_request_log_is_disabled_there_are_samples_and_no_rows(
    config: Path, tmp_path: Path
) -> None:
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "request_log": {"enabled": False}}))
    log = tmp_path / "old.jsonl"
    log.write_bytes(line(0, BEGAN))
    done = backfill(config, log)
    assert done.exit_code == 0, done.output
    assert "1 requests of 1 lines\nnone gets a row, for request_log.enabled is false" in done.stdout
    assert totals(config)[-1][1] == 1
    assert not (tmp_path / "state" / "requests").exists()


def test_what_cannot_be_read_is_told(config: Path, tmp_path: Path) -> None:
    log = tmp_path / "old.jsonl"
    untimed = b'{"status_code": 200, "model": "qwen"}\n'
    log.write_bytes(b"no json\n" + untimed + line(1, BEGAN - 40 * DAY_S))
    done = backfill(config, log)
    assert "1 lines cannot be read" in done.stdout
    assert "1 requests name no time" in done.stdout
    assert "1 requests are older than the request log keeps" in done.stdout
    assert logged(config) == []
    assert totals(config)[-1][1] == 1
    assert backfill(config, config.with_name("absent")).exit_code == 2


def test_a_damaged_archive_is_named(config: Path, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(line(n, BEGAN + n) for n in range(1000))))
    packed[200:300] = bytes(100)
    log = tmp_path / "old.jsonl.gz"
    log.write_bytes(packed)
    assert f"{log}: " in backfill(config, log).stderr


def test_a_state_that_does_not_tell_when_it_began_is_named(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"no database" * 100)
    log = tmp_path / "old.jsonl"
    log.write_bytes(line(1, BEGAN))
    refused = backfill(config, log).stderr
    assert refused.startswith(f"{tmp_path}/state/state.db: ")
    assert "--until" in refused


def test_prometheus_serves_the_days_before_the_installation(
    config: Path, tmp_path: Path, promtool: Path, start_prometheus: StartPrometheus
) -> None:
    log = tmp_path / "old.jsonl"
    log.write_bytes(
        b"".join(
            line(n, BEGAN + 120 * n, model=["qwen", "glm"][n % 2], latency_s=1 + n % 2)
            for n in range(1000)
        )
    )
    assert backfill(config, log).exit_code == 0
    data = tmp_path / "prometheus-1" / "data"  # of the first server that is started
    for path in sorted((tmp_path / "history").glob("*.om")):
        command = ["tsdb", "create-blocks-from", "openmetrics"]
        made = subprocess.run([promtool, *command, path, data], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    prometheus = start_prometheus("scrape_configs: []")
    end = BEGAN + 120 * 1000
    total = f"sum(llm_gateway_requests_total @ {end - 1})"
    assert prometheus.value(total) == 1000
    half = f"sum(llm_gateway_requests_total @ {BEGAN + 120 * 500 - 60})"
    assert prometheus.value(half) == pytest.approx(500, abs=1)
    average = (
        f"sum(increase(gen_ai_server_request_duration_seconds_sum[1h] @ {end - 1}))"
        f" / sum(increase(gen_ai_server_request_duration_seconds_count[1h] @ {end - 1}))"
    )
    assert prometheus.value(average) == pytest.approx(1.5, abs=0.06)
