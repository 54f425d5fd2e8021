"""Series, positions and the batch number, in one SQLite file that changes in whole commits.

`synchronous=FULL` in WAL mode: with NORMAL a power loss takes back commits whose counts were
already scraped. It costs nothing at thousands of records a commit.
"""

import json
import os
import time
import uuid
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
import structlog

from exporter.errors import StateError, reason_of
from exporter.ledger import Change, Family, StoredSeries, named
from exporter.store.lock import DirectoryLock
from exporter.vocabulary import Instrument

log = structlog.get_logger(__name__)

SCHEMA = 1
"""Version of the tables below."""

_TABLES = """
create table facts (name text primary key, value text not null) without rowid;
create table buckets (instrument text primary key, bounds text not null) without rowid;
create table series (
    id integer primary key, instrument text not null, labels text not null, created real not null
);
create table totals (id integer primary key, value blob not null);
create table positions (
    source text, key text, value blob not null, primary key (source, key)
) without rowid;
"""
# Totals change all the time, labels never: apart from these, those fill fewer pages.

BUSY_TIMEOUT_MS = 1000
"""How long a commit waits for a person who looks into the file with a tool, before it fails."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a state says about itself when it is opened.

    Attributes:
        created: when it began, Unix seconds.
        instance_id: `service.instance.id` of what is pushed.
        replaced_corrupt: it began because the one before it was corrupt and was moved aside.
        batch: commits so far.
    """

    created: float
    instance_id: str
    replaced_corrupt: bool
    batch: int


class StateStore:
    """The state directory, owned by this process.

    Args:
        patience_s: how long to wait for a process that owns it and is about to end.

    Attributes:
        facts: see `Facts`.
        batch: commits so far, those since the opening included.

    Raises:
        StateError: the directory cannot be used; starting with nothing instead would count twice.
    """

    def __init__(
        self,
        directory: Path,
        clock: Callable[[], float] = time.time,
        patience_s: float = 0.0,
    ) -> None:
        self._path = directory / "state.db"
        self._clock = clock
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            reason = reason_of(error)
            raise StateError(f"{directory}: cannot be a state directory: {reason}") from error
        self._lock = DirectoryLock(directory, patience_s)
        try:
            with _refusing(self._path):
                self._database, self.facts = self._open()
        except BaseException:
            self._lock.release()
            raise
        self.batch = self.facts.batch

    def _open(self) -> tuple[apsw.Connection, Facts]:
        if self._path.exists():
            try:
                return _opened(self._path)
            except (apsw.CorruptError, apsw.NotADBError, _DamagedStateError) as damage:
                self._move_aside(damage)
        self._make()
        return _opened(self._path)

    def _move_aside(self, damage: Exception) -> None:
        """Keep the damaged file for a look at it; its name tells `_make` what happened here."""
        kept = _beside(self._path, f".corrupt-{self._clock():.0f}")
        self._path.rename(kept)
        log.error(
            "the state is corrupt: moved aside; series begin at zero, logs are read from their end",
            file=str(self._path),
            kept=str(kept),
            reason=str(damage),
        )

    def _make(self) -> None:
        """A file with tables, under its name once it is whole: a crash must not leave a part."""
        unfinished = _beside(self._path, ".new")
        for old in (unfinished, _beside(unfinished, "-journal")):
            old.unlink(missing_ok=True)
        replaces_corrupt = any(self._path.parent.glob(f"{self._path.name}.corrupt-*"))
        database = apsw.Connection(str(unfinished))
        try:
            with database:
                database.execute(_TABLES)
                database.executemany(
                    "insert into facts values (?, ?)",
                    {
                        "schema": str(SCHEMA),
                        "created": repr(self._clock()),
                        "instance_id": str(uuid.uuid4()),
                        "replaced_corrupt": str(int(replaces_corrupt)),
                        "batch": "0",
                    }.items(),
                )
        finally:
            database.close()
        for suffix in ("-wal", "-shm"):  # SQLite would take an older file's log for this one's.
            _beside(self._path, suffix).unlink(missing_ok=True)
        unfinished.rename(self._path)
        sync(self._path.parent)

    def series(self, instruments: Sequence[Instrument]) -> list[StoredSeries]:
        """All series; those whose histogram has other buckets now are left out, and begin anew.

        Raises:
            StateError: they cannot be read.
        """
        with _refusing(self._path):
            with self._database:
                self._take_buckets(instruments)
            return [
                StoredSeries(
                    id=id,
                    instrument=instrument,
                    labels=msgspec.json.decode(labels, type=dict[str, str]),
                    created=created,
                    value=np.frombuffer(value, np.float64).copy(),
                )
                for id, instrument, labels, created, value in self._rows(
                    "select id, instrument, labels, created, value"
                    " from series join totals using (id) order by id"
                )
            ]

    def _take_buckets(self, instruments: Sequence[Instrument]) -> None:
        """Remember the bounds, and drop the series that were counted by other ones."""
        stored = dict(self._rows("select instrument, bounds from buckets"))
        for instrument in instruments:
            bounds = json.dumps(instrument.buckets)
            if stored.get(instrument.name, bounds) != bounds:
                log.warning(
                    "buckets have changed: the histogram begins at zero", instrument=instrument.name
                )
                self._forget(
                    self._rows("select id from series where instrument = ?", instrument.name)
                )
            if instrument.buckets:
                self._database.execute(
                    "insert or replace into buckets values (?, ?)", (instrument.name, bounds)
                )

    def forget(self, series: Iterable[StoredSeries]) -> None:
        """Delete series that no longer fit.

        Raises:
            StateError: they cannot be deleted.
        """
        with _refusing(self._path), self._database:
            self._forget((stored.id,) for stored in series)

    def _forget(self, ids: Iterable[tuple[int]]) -> None:
        ids = list(ids)
        self._database.executemany("delete from series where id = ?", ids)
        self._database.executemany("delete from totals where id = ?", ids)

    def positions(self, source: str) -> dict[str, bytes]:
        """What a source asked to be told again.

        Raises:
            StateError: they cannot be read.
        """
        with _refusing(self._path):
            return dict(self._rows("select key, value from positions where source = ?", source))

    def all_positions(self) -> dict[str, dict[str, bytes]]:
        """The same of all sources, by their names.

        Raises:
            StateError: they cannot be read.
        """
        found: dict[str, dict[str, bytes]] = {}
        with _refusing(self._path):
            for source, key, value in self._rows("select source, key, value from positions"):
                found.setdefault(source, {})[key] = value
        return found

    def _rows(self, query: str, *values: str) -> list[Any]:
        return self._database.execute(query, values).fetchall()

    def commit(
        self, changes: Sequence[Change], positions: Mapping[str, Mapping[str, bytes | None]]
    ) -> None:
        """Make new totals and new positions durable, together or not at all.

        Args:
            positions: by source, then by key; None forgets a key.

        Raises:
            OSError: the disk is full, the file cannot be written, or somebody else has it locked;
                nothing has changed and it may be tried again.
        """
        try:
            with self._database:
                self._apply(changes, positions)
                self._database.execute("update facts set value = value + 1 where name = 'batch'")
        except apsw.Error as error:
            raise OSError(f"{self._path}: {error}") from error
        self.batch += 1

    def rearrange(
        self, changes: Sequence[Change], positions: Mapping[str, Mapping[str, bytes | None]]
    ) -> None:
        """As `commit`, for what is no batch: totals and positions that come from another state.

        The changed series may have another time of birth now.

        Raises:
            StateError: it cannot be written; nothing has changed.
        """
        with _refusing(self._path), self._database:
            self._apply(changes, positions)
            for family, rows, _ in changes:
                self._database.executemany(
                    "update series set created = ? where id = ?",
                    [(family.created[row], family.ids[row]) for row in rows.tolist()],
                )

    def begin_at_zero(self) -> None:
        """Forget all series and keep the positions, because another part of the state was corrupt.

        Raises:
            StateError: it cannot be written; nothing has changed.
        """
        created = self._clock()
        with _refusing(self._path), self._database:
            self._database.execute("delete from series; delete from totals")
            self._database.executemany(
                "update facts set value = ?2 where name = ?1",
                {"created": repr(created), "replaced_corrupt": "1"}.items(),
            )
        self.facts = replace(self.facts, created=created, replaced_corrupt=True)

    def _apply(
        self, changes: Sequence[Change], positions: Mapping[str, Mapping[str, bytes | None]]
    ) -> None:
        for change in changes:
            self._write(change)
        for source, values in positions.items():
            self._move(source, values)

    def _write(self, change: Change) -> None:
        family, rows, totals = change
        born = rows[rows >= family.published]
        self._database.executemany(
            "insert into series values (?, ?, ?, ?)",
            (
                (family.ids[row], family.instrument.name, _labels(family, row), family.created[row])
                for row in born.tolist()
            ),
        )
        ids = array("q", (family.ids[row] for row in rows.tolist()))
        # One statement for all: between statements SQLite lets other threads have the interpreter.
        self._database.execute(
            "insert or replace into totals"
            " select value, substr(?2, (rowid - 1) * ?3 + 1, ?3) from carray(?1)",
            (apsw.carray(ids), totals.tobytes(), totals.strides[0]),
        )

    def _move(self, source: str, values: Mapping[str, bytes | None]) -> None:
        self._database.executemany(
            "insert or replace into positions values (?, ?, ?)",
            [(source, key, value) for key, value in values.items() if value is not None],
        )
        self._database.executemany(
            "delete from positions where source = ? and key = ?",
            [(source, key) for key, value in values.items() if value is None],
        )

    def close(self) -> None:
        """Fold the log into the file and give the directory free."""
        try:
            self._database.close()
        finally:
            self._lock.release()


class _DamagedStateError(Exception):
    """A file that is not what this program wrote."""


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError, ValueError) as error:
        raise StateError(f"{path}: {error}") from error


def _opened(path: Path) -> tuple[apsw.Connection, Facts]:
    """A state's file, checked.

    Raises:
        _DamagedStateError, apsw.CorruptError, apsw.NotADBError: it is damaged.
        StateError: it can't be written, or is another version's.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise _DamagedStateError("the file is empty")
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        if database.readonly("main"):
            raise StateError(f"{path}: cannot be written")
        database.set_busy_timeout(BUSY_TIMEOUT_MS)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            database.execute(f"pragma {pragma}").fetchall()
        return database, _checked(path, database)
    except BaseException:
        database.close()
        raise


def _checked(path: Path, database: apsw.Connection) -> Facts:
    if database.execute("pragma quick_check(1)").fetchall() != [("ok",)]:
        raise _DamagedStateError("the file fails SQLite's check")
    try:
        rows: list[Any] = database.execute("select name, value from facts").fetchall()
        facts: dict[str, str] = dict(rows)
        schema = int(facts["schema"])
        if schema == SCHEMA:
            return Facts(
                created=float(facts["created"]),
                instance_id=facts["instance_id"],
                replaced_corrupt=facts["replaced_corrupt"] == "1",
                batch=int(facts["batch"]),
            )
    except (apsw.SQLError, KeyError, ValueError) as error:
        raise _DamagedStateError("the file is not a state of this program") from error
    raise StateError(
        f"{path}: written by another version of this program (tables {schema}, this one reads "
        f"{SCHEMA}); start that version, or move the file away to begin at zero"
    )


def _labels(family: Family, row: int) -> str:
    return msgspec.json.encode(named(family.attributes, family.labels[row])).decode()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def sync(path: Path) -> None:
    """Make what a file holds durable; of a directory, the names of its files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
