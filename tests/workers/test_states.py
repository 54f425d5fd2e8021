"""The workers' states: divided, gathered, interrupted, lost."""

import json
import shutil
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from exporter.config import Config, load_config
from exporter.engine import new_ledger
from exporter.errors import StateError
from exporter.ledger import Additions, Ledger
from exporter.sources.tail.record import VERSION, FileRecord, decode, encode
from exporter.sources.tail.records import STARTED
from exporter.store.state import StateStore
from exporter.vocabulary import REQUEST_DURATION, REQUESTS
from exporter.workers import states
from exporter.workers.states import directory, known_workers

FILES = 5


def configuration(path: Path, workers: int) -> Config:
    file = path / "config.yaml"
    file.write_text(
        json.dumps(
            {
                "workers": workers,
                "state_dir": str(path / "state"),
                "sources": [{"name": "log", "tail": {"paths": ["/x"], "format": "records"}}],
            }
        )
    )
    return load_config(file)


def count(store: StateStore, config: Config, model: str, requests: float) -> None:
    """A commit."""
    ledger = loaded(store, config)
    additions = Additions()
    for instrument, extra in ((REQUESTS, ("200", "")), (REQUEST_DURATION, ("",))):
        family = ledger[instrument]
        row = ledger.row(instrument, (model, "provider", "chat", *extra))
        additions.add(family, np.array([row]), np.full((1, family.width), requests))
    store.commit(ledger.changes(additions), {})


def loaded(store: StateStore, config: Config) -> Ledger:
    ledger = new_ledger(config)
    ledger.load(store.series(ledger.instruments))
    return ledger


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state of one process that has read some files."""
    config = configuration(tmp_path, 1)
    store = StateStore(config.state_dir)
    positions = {STARTED: encode(VERSION)}
    for number in range(1, FILES + 1):
        path = f"/d/gateway-{number}.jsonl"
        record = FileRecord(VERSION, number, path, path, 0.0, 1, number, position=number)
        positions[record.key] = encode(record)
    store.rearrange([], {"log": positions})
    count(store, config, "a", 1)
    store.close()
    return tmp_path


class Everything:
    """What all states of a directory hold together."""

    def __init__(self, path: Path, workers: int) -> None:
        config = configuration(path, workers)
        store = StateStore(config.state_dir)
        try:
            self.known = known_workers(config, store)
            ledgers = [loaded(store, config), *(worker.ledger for worker in self.known)]
            positions = [store.positions("log")]
            positions += [worker.positions.get("log", {}) for worker in self.known]
        finally:
            store.close()
        self.requests: dict[str, float] = {}
        self.durations = 0.0
        self.created: dict[str, float] = {}
        for ledger in ledgers:
            requests = ledger[REQUESTS]
            for row, (model, *_) in enumerate(requests.labels):
                self.requests[model] = self.requests.get(model, 0.0) + requests.values[row, 0]
                created = requests.created[row]
                self.created[model] = min(created, self.created.get(model, created))
            self.durations += float(ledger[REQUEST_DURATION].values[:, 0].sum())
        self.files = [
            sorted(decode(key, value).inode for key, value in part.items() if key != STARTED)
            for part in positions
        ]
        self.all_files = sorted(inode for part in self.files for inode in part)
        self.started = [STARTED in part for part in positions]


def worker(path: Path, number: int) -> StateStore:
    return StateStore(directory(path / "state", number))


def test_a_state_is_divided_counted_on_and_gathered_again(state: Path) -> None:
    divided = Everything(state, 3)
    assert divided.all_files == [1, 2, 3, 4, 5]
    assert sorted(map(len, divided.files)) == [1, 2, 2]
    assert divided.started == [True, True, True]
    assert divided.requests == {"a": 1}
    for number, model in ((1, "a"), (2, "b")):
        store = worker(state, number)
        count(store, configuration(state, 3), model, 10.0 * number)
        store.close()
    for workers in (3, 2, 4, 1, 1, 2):
        found = Everything(state, workers)
        assert found.requests == {"a": 11, "b": 20}
        assert found.durations == 31
        assert found.all_files == [1, 2, 3, 4, 5]
        assert len(found.files) == workers


def test_series_that_are_gathered_keep_their_earliest_time_of_birth(state: Path) -> None:
    Everything(state, 2)
    config = configuration(state, 2)
    for store in (worker(state, 1), StateStore(state / "state")):
        count(store, config, "b", 1)
        store.close()
    born = Everything(state, 2).created
    for workers in (1, 1, 3):
        assert Everything(state, workers).created == born


class Crashed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("crash", range(10))
def test_a_crash_at_any_step_of_a_division_loses_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch, crash: int
) -> None:
    Everything(state, 2)
    store = worker(state, 1)
    count(store, configuration(state, 2), "b", 5)
    store.close()
    steps = iter(range(100))
    rearrange, rmtree = StateStore.rearrange, shutil.rmtree

    def step() -> None:
        if next(steps) == crash:
            raise Crashed

    def crashing_rearrange(*arguments: Any) -> None:
        step()
        rearrange(*arguments)
        step()

    def crashing_rmtree(path: Path, ignore_errors: bool) -> None:
        step()
        rmtree(path, ignore_errors)
        step()

    with monkeypatch.context() as patch:
        patch.setattr(StateStore, "rearrange", crashing_rearrange)
        patch.setattr(shutil, "rmtree", crashing_rmtree)
        with pytest.raises(Crashed):
            Everything(state, 3)
    for workers in (3, 1):
        found = Everything(state, workers)
        assert found.requests == {"a": 1, "b": 5}
        assert found.all_files == [1, 2, 3, 4, 5]


def test_a_workers_state_that_is_gone_is_a_refusal(state: Path) -> None:
    Everything(state, 2)
    shutil.rmtree(directory(state / "state", 1))
    for workers in (1, 2, 3):
        with pytest.raises(StateError, match="workers/1: not there, and what it held was counted"):
            Everything(state, workers)


@pytest.mark.parametrize("lost", ["workers/1", "."])
def test_all_series_begin_at_zero_when_a_part_of_the_state_is_corrupt(
    state: Path, lost: str
) -> None:
    before = Everything(state, 2)
    file = state / "state" / lost / "state.db"
    file.write_bytes(b"x" * 5000)
    with pytest.raises(StateError, match="start once with workers: 2"):
        Everything(state, 3)
    found = Everything(state, 2)
    assert found.requests == {}
    kept = [[], before.files[1]] if lost == "." else [before.files[0], []]
    assert found.files == kept
    assert list(file.parent.glob("state.db.corrupt-*"))
    store = StateStore(state / "state")
    assert store.facts.replaced_corrupt
    store.close()


def test_a_state_that_another_process_has_is_waited_for_and_then_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Everything(state, 2)
    monkeypatch.setattr(states, "PATIENCE_S", 0.1)
    owner = worker(state, 1)
    with pytest.raises(StateError, match="workers/1: in use by process"):
        Everything(state, 2)
    owner.close()
    assert Everything(state, 2).requests == {"a": 1}


def test_the_states_of_one_process_are_as_they_always_were(state: Path) -> None:
    Everything(state, 1)
    assert not (state / "state" / "workers").exists()
    database = apsw.Connection(str(state / "state" / "state.db"))
    sources = database.execute("select distinct source from positions").fetchall()
    database.close()
    assert sources == [("log",)]
