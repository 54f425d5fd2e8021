"""Made-up rows of the request log: what its benchmarks search and export."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from exporter.record import COLUMN_NAMES, Batch, Columns, Kind, Kinds
from exporter.requestlog.files import DAY_S
from exporter.requestlog.log import RequestLog, RequestLogMetrics, Retention

DAYS = 14
MODELS, TEAMS = 40, 8
STATUSES = (200, 429, 500, 503)

STRANGER = "team-7"
"""The team that never asks for `STRANGE_MODEL`: each is in all blocks, both together in none."""

STRANGE_MODEL = "model-1"

_BATCH = 8192
_BATCHES_A_COMMIT = 6


class Gateway:
    """Requests for 40 models by Zipf, of four statuses and eight teams, with ids at random."""

    def __init__(self, seed: int = 1) -> None:
        self.kinds = Kinds()
        self._draw = np.random.default_rng(seed)
        for model in range(MODELS):
            for status in STATUSES:
                for team in range(TEAMS):
                    name, error = f"model-{model}", "" if status == 200 else str(status)
                    self.kinds.number(
                        Kind(
                            *(name, name, "openai", "chat", status, error, True, False, "stop"),
                            *((f"team-{team}",), ""),
                        )
                    )

    def batch(self, starts: NDArray[np.float64]) -> Batch:
        """One request for each start."""
        draw, size = self._draw, len(starts)
        model = (draw.zipf(1.5, size) - 1) % MODELS
        status = draw.choice(len(STATUSES), size, p=[0.94, 0.03, 0.02, 0.01])
        team = draw.integers(0, TEAMS, size)
        team[(model == 1) & (team == TEAMS - 1)] = 0
        latency = draw.lognormal(0, 1, size)
        figures = dict.fromkeys(COLUMN_NAMES, np.full(size, np.nan))
        tokens = draw.integers(1, 5000, (2, size)).astype(np.float64)
        figures |= {"latency": latency, "time_to_first_token": latency * 0.3}
        figures |= {"input_tokens": tokens[0], "output_tokens": tokens[1]}
        figures |= {"total_tokens": tokens.sum(axis=0), "cached_input_tokens": tokens[0] // 3}
        ids = [f"req_{digits}" for digits in _hex(draw.bytes(16 * size))]
        return Batch(
            kinds=self.kinds,
            kind=(model * len(STATUSES) + status) * TEAMS + team,
            numbers=Columns(**figures),
            request_ids=lambda: ids,
            trace_ids=lambda: [""] * size,
            start_times=lambda: starts,
        )


def _hex(data: bytes) -> Iterator[str]:
    text = data.hex()
    return (text[at : at + 32] for at in range(0, len(text), 32))


def open_log(directory: Path, clock: Callable[[], float]) -> RequestLog:
    """A request log without a state."""
    metrics = RequestLogMetrics(CollectorRegistry())
    retention = Retention(DAYS, 1 << 40)
    return RequestLog(
        directory, retention, metrics, state="", batch=0, attributes=("team",), clock=clock
    )


def fill(directory: Path, rows: int, now: float) -> list[str]:
    """Write and index so many rows of the days before `now`; some of their ids."""
    return fill_part(directory, rows, now - DAYS * DAY_S, now, seed=1)


def fill_part(directory: Path, rows: int, begin: float, end: float, seed: int) -> list[str]:
    """The same from `begin` to `end`."""
    gateway, clock = Gateway(seed), [begin]
    log = open_log(directory, lambda: clock[0])
    ids, commits = [], 0
    for first in range(0, rows, _BATCH):
        starts = begin + (end - begin) * np.arange(first, min(first + _BATCH, rows)) / rows
        clock[0] = float(starts[-1])
        batch = gateway.batch(starts)
        ids.append(batch.request_ids()[first % len(starts)])
        log.add("benchmark", batch)
        if first // _BATCH % _BATCHES_A_COMMIT == 0 or first + _BATCH >= rows:
            commits += 1
            log.commit(commits)
            log.committed()
    log.finish()
    return ids
