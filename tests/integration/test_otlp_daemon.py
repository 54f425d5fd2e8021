"""A daemon that pushes by gRPC: reload, and a stop that tells the last counts."""

import json
import signal
import time
from pathlib import Path
from typing import Any

from exporter.engine import EX_SOFTWARE
from exporter.vocabulary import REQUESTS
from tests.daemon import Daemon
from tests.export.otlp.receiver import Answer, GrpcReceiver, attributes
from tests.waiting import wait_until


def write_config(directory: Path, *endpoints: dict[str, Any]) -> Path:
    log = directory / "log.jsonl"
    log.touch()
    config = directory / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "state_dir": str(directory / "state"),
                "sources": [{"name": "log", "tail": {"paths": [str(log)], "format": "records"}}],
                "otlp": [{"protocol": "grpc", "interval": "300ms", **each} for each in endpoints],
            }
        )
    )
    return config


def write_requests(directory: Path, count: int) -> None:
    with (directory / "log.jsonl").open("a") as log:
        line = {"model": "m", "status_code": 200, "latency_s": 1, "start_time": time.time()}
        log.write((json.dumps(line) + "\n") * count)


def requests_told(receiver: GrpcReceiver) -> float:
    """The counter of successful requests, as it was told last."""
    told = [p for p in receiver.points(REQUESTS.name) if attributes(p).get("error.type") is None]
    newest = max((point.time_unix_nano for point in told), default=0)
    values: list[float] = [p.as_double for p in told if p.time_unix_nano == newest]
    return sum(values)


def test_a_reload_takes_endpoints_away_and_adds_others(tmp_path: Path) -> None:
    with GrpcReceiver() as old, GrpcReceiver() as new:
        config = write_config(tmp_path, {"endpoint": old.url})
        with Daemon(config).wait_ready() as daemon:
            write_requests(tmp_path, 3)
            wait_until(lambda: requests_told(old) == 3)
            write_config(tmp_path, {"endpoint": new.url, "logs": True})
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: requests_told(new) == 3)
            before = len(old.arrived)
            write_requests(tmp_path, 2)
            wait_until(lambda: requests_told(new) == 5)
            wait_until(lambda: len(new.records()) == 2)
            assert len(old.arrived) == before
            destinations = daemon.get("/metrics")[1]
            assert f'otlp_queued{{destination="{old.url}"' not in destinations
            assert f'otlp_queued{{destination="{new.url}"' in destinations


def test_a_reload_that_cannot_be_gone_back_from_ends_the_daemon(tmp_path: Path) -> None:
    with GrpcReceiver() as receiver:
        config = write_config(tmp_path, {"endpoint": receiver.url})
        with Daemon(config).wait_ready() as daemon:
            for file in (tmp_path / "state").glob("otlp.db*"):
                file.unlink()
            (tmp_path / "state" / "otlp.db").mkdir()
            daemon.process.send_signal(signal.SIGHUP)
            assert daemon.process.wait(20) == EX_SOFTWARE


def test_a_stop_tells_the_last_counts_and_does_not_wait_for_who_hangs(tmp_path: Path) -> None:
    with GrpcReceiver() as well, GrpcReceiver() as stuck:
        stuck.usually = Answer(hangs=True)
        config = write_config(
            tmp_path,
            {"endpoint": well.url, "interval": "1h"},
            {"endpoint": stuck.url, "timeout": "1m"},
            {
                "name": "logs",
                "endpoint": stuck.url,
                "timeout": "1m",
                "metrics": False,
                "logs": True,
            },
        )
        with Daemon(config).wait_ready() as daemon:
            write_requests(tmp_path, 4)
            wait_until(lambda: daemon.total("llm_gateway_requests_total") == 4)
            wait_until(lambda: len(stuck.arrived) == 2)
            began = time.monotonic()
            assert daemon.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < 5
        assert requests_told(well) == 4
