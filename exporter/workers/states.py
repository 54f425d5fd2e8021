"""The workers' states, beside the main process's, looked into while no worker runs.

When their number has changed, all is gathered in the main state and divided anew. Each of these two
steps is one transaction of the main state, which says how many there are: a crash between them, or
before a directory is deleted, is mended at the next start.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import apsw
import structlog
from prometheus_client import CollectorRegistry

from exporter.config import Config
from exporter.engine import has_lost_its_state, new_ledger, price_list, request_log
from exporter.errors import StateError
from exporter.ledger import Ledger
from exporter.requestlog.log import RequestLogMetrics
from exporter.sources.tail.division import divided, gathered
from exporter.store.state import StateStore

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0
"""How long to wait for the workers of a main process that was killed."""

_DIVISION, _PROCESSES = "", "processes"
"""Source (no configured one can have that name) and key, under which the number of states is."""


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """What a worker's state holds before the worker starts.

    Attributes:
        number: from 1; the main process is 0.
        batch: commits so far.
        ledger: with its series.
        positions: by source, then by key.
    """

    number: int
    batch: int
    ledger: Ledger
    positions: dict[str, dict[str, bytes]]


def directory(state_dir: Path, number: int) -> Path:
    """The state directory of a worker."""
    return state_dir / "workers" / str(number)


def part(number: int) -> str:
    """Of the request log, that a process writes."""
    return f"worker-{number}" if number else ""


def known_workers(config: Config, store: StateStore) -> list[KnownWorker]:
    """Prepare the states of the configured number of processes; what those of the workers hold.

    Args:
        store: the main process's.

    Raises:
        StateError: one of them cannot be used.
    """
    before = _processes(config, store)
    if before == config.workers == 1:
        shutil.rmtree(config.state_dir / "workers", ignore_errors=True)
        return []
    with ExitStack() as opened:
        workers = [
            _opened(opened, directory(config.state_dir, number)) for number in range(1, before)
        ]
        _begin_at_zero_if_one_is_lost(config, [store, *workers])
        if config.workers != before:
            _gather(config, store, workers)
    if config.workers != before:
        _divide(config, store)
        log.info("files are divided anew", processes=config.workers, before=before)
    elif config.workers > 1:
        store.rearrange([], _told(before))  # A state that is lost did not tell.
    with ExitStack() as opened:
        return [
            _known(config, number, _opened(opened, directory(config.state_dir, number)))
            for number in range(1, config.workers)
        ]


def _processes(config: Config, store: StateStore) -> int:
    """How many states there are."""
    told = store.positions(_DIVISION).get(_PROCESSES)
    if told is not None:
        return int(told)
    if not has_lost_its_state(store):
        return 1
    found = [path.parent.name for path in config.state_dir.glob("workers/*/state.db")]
    return 1 + max((int(name) for name in found if name.isdecimal()), default=0)


def _opened(opened: ExitStack, path: Path) -> StateStore:
    if not any(path.glob("state.db*")):
        raise StateError(
            f"{path}: not there, and what it held was counted; put it back, or move all of "
            f"{path.parents[1]} away to begin at zero"
        )
    store = StateStore(path, patience_s=PATIENCE_S)
    opened.callback(store.close)
    return store


def _begin_at_zero_if_one_is_lost(config: Config, stores: Sequence[StateStore]) -> None:
    """A sum that lacks one part would look like a reset to what the others have counted."""
    if len(stores) == 1 or not any(map(has_lost_its_state, stores)):
        return
    if config.workers != len(stores):
        raise StateError(
            f"{config.state_dir}: a part of it was corrupt; start once with workers: {len(stores)}"
        )
    log.error("a part of the state was corrupt: all series begin at zero")
    for store in stores:
        store.begin_at_zero()


def _gather(config: Config, main: StateStore, workers: Sequence[StateStore]) -> None:
    """Let the main state have all series and positions, and be the only one."""
    ledger = _ledger(config, main)
    vocabulary = ledger.instruments
    changes = ledger.joined(one for worker in workers for one in worker.series(vocabulary))
    positions: dict[str, Mapping[str, bytes | None]] = {}
    of_each = [store.all_positions() for store in (main, *workers)]
    for source in {name for of_one in of_each[1:] for name in of_one}:
        positions[source] = gathered([of_one.get(source, {}) for of_one in of_each])
    for number, worker in enumerate(workers, 1):
        _finish_request_log(config, worker, part(number))
    main.rearrange(changes, {**positions, **_told(1)})


def _finish_request_log(config: Config, worker: StateStore, part: str) -> None:
    """Take back what the worker did not commit, and index what nobody writes to any more."""
    if not config.request_log.enabled:
        return
    metrics = RequestLogMetrics(CollectorRegistry())
    rest = request_log(config, price_list(config), worker, metrics, part)
    try:
        rest.finish()
    except apsw.Error as error:
        raise StateError(f"{config.request_log_dir}: {error}") from error


def _divide(config: Config, main: StateStore) -> None:
    """Give each worker a state with its part of the positions, taken from the main one."""
    shutil.rmtree(config.state_dir / "workers", ignore_errors=True)
    parts: list[dict[str, dict[str, bytes]]] = [{} for _ in range(config.workers)]
    taken: dict[str, Mapping[str, bytes | None]] = {}
    for source in config.sources:
        if source.tail:
            of_each = divided(main.positions(source.name), config.workers)
            for part, positions in zip(parts, of_each, strict=True):
                part[source.name] = positions
            given = {key for positions in of_each[1:] for key in positions} - of_each[0].keys()
            taken[source.name] = dict.fromkeys(given)
    for number in range(1, config.workers):
        worker = StateStore(directory(config.state_dir, number))
        try:
            worker.rearrange([], parts[number])
        finally:
            worker.close()
    main.rearrange([], {**taken, **_told(config.workers)})


def _told(processes: int) -> dict[str, Mapping[str, bytes | None]]:
    return {_DIVISION: {_PROCESSES: str(processes).encode()}}


def _known(config: Config, number: int, store: StateStore) -> KnownWorker:
    return KnownWorker(number, store.batch, _ledger(config, store), store.all_positions())


def _ledger(config: Config, store: StateStore) -> Ledger:
    """With the series of a state."""
    ledger = new_ledger(config)
    ledger.load(store.series(ledger.instruments))
    return ledger
