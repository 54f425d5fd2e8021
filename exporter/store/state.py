"""Series, positions and the batch number, in one SQLite file that changes in whole commits.

`synchronous=FULL` in WAL mode: with NORMAL a power loss takes back commits whose counts were already
scraped. It costs nothing at thousands of records a commit.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import numpy as np
import structlog

from exporter.errors import StateError
from exporter.ledger import Change, StoredSeries
from exporter.store.lock import DirectoryLock
from exporter.vocabulary import Instrument

log = structlog.get_logger(__name__)

SCHEMA = 1
"""Version of the tables below; `docs/operating.md` says what happens to other ones."""

_TABLES = """
create table facts (name text primary key, value text not null) without rowid;
create table series (
    id integer primary key, instrument text not null, labels text not null,
    created real not null, value blob not null
);
create table buckets (instrument text primary key, bounds text not null) without rowid;
create table positions (source text, key text, value blob not null, primary key (source, key)) without rowid;
"""

BUSY_TIMEOUT_MS = 5000
"""How long a commit waits for a person who looks into the file with a tool of their own."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is fixed when a state begins.

    Attributes:
        created: Unix seconds.
        instance_id: `service.instance.id` of what is pushed.
        replaced_corrupt: this state began because the one before it was corrupt and was moved aside.
    """

    created: float
    instance_id: str
    replaced_corrupt: bool


class StateStore:
    """The state directory, owned by this process.

    Attributes:
        facts: see `Facts`.

    Raises:
        StateError: the directory cannot be used; starting with nothing instead would count twice.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._clock = clock
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{directory}: cannot be made: {error.strerror}") from error
        self._lock = DirectoryLock(directory)
        try:
            self._database, self.facts = self._open(directory / "state.db")
        except BaseException:
            self._lock.release()
            raise

    def _open(self, path: Path) -> tuple[apsw.Connection, Facts]:
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            raise StateError(f"{path}: not readable and writable for this user")
        try:
            return self._prepared(path)
        except (apsw.CorruptError, apsw.NotADBError, _DamagedStateError) as damage:
            return self._replaced(path, damage)
        except apsw.Error as error:
            raise StateError(f"{path}: {error}") from error

    def _prepared(self, path: Path, *, replaces_corrupt: bool = False) -> tuple[apsw.Connection, Facts]:
        """The file opened and checked, and made before if it wasn't there."""
        if not path.exists():
            self._make(path, replaces_corrupt=replaces_corrupt)
        elif path.stat().st_size == 0:
            raise _DamagedStateError("the file is empty")
        database = _connected(path)
        try:
            return database, self._checked(path, database)
        except BaseException:
            database.close()
            raise

    def _make(self, path: Path, *, replaces_corrupt: bool) -> None:
        """A file with tables, under its name only once it is whole: a crash must not leave half of one."""
        unfinished = path.with_name(path.name + ".new")
        for suffix in ("", "-wal", "-shm"):
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
        facts = {
            "schema": str(SCHEMA),
            "created": repr(self._clock()),
            "instance_id": str(uuid.uuid4()),
            "batch": "0",
            "replaced_corrupt": str(int(replaces_corrupt)),
        }
        database = _connected(unfinished)
        try:
            with database:
                database.execute(_TABLES)
                database.executemany("insert into facts values (?, ?)", facts.items())
        finally:
            database.close()
        unfinished.rename(path)
        _sync_directory(path.parent)

    def _checked(self, path: Path, database: apsw.Connection) -> Facts:
        problem = database.execute("pragma quick_check(1)").fetchall()
        if problem != [("ok",)]:
            raise _DamagedStateError("the file fails SQLite's check")
        try:
            facts = dict(database.execute("select name, value from facts").fetchall())
            schema = int(facts["schema"])
            found = Facts(float(facts["created"]), facts["instance_id"], facts["replaced_corrupt"] == "1")
        except (apsw.SQLError, KeyError, ValueError) as error:
            raise _DamagedStateError("the file is not a state of this program") from error
        if schema != SCHEMA:
            raise StateError(
                f"{path}: written by another version of this program (tables {schema}, this one reads "
                f"{SCHEMA}); start that version, or move the file away to begin at zero"
            )
        return found

    def _replaced(self, path: Path, damage: Exception) -> tuple[apsw.Connection, Facts]:
        """Begin anew beside the damaged file, which is kept for a look at it."""
        kept = path.with_name(f"{path.name}.corrupt-{int(self._clock())}")
        for suffix in ("", "-wal", "-shm"):
            old = path.with_name(path.name + suffix)
            if old.exists():
                old.rename(kept.with_name(kept.name + suffix))
        log.error(
            "the state is corrupt: moved aside; all series begin at zero, files are read from their end",
            file=str(path),
            kept=str(kept),
            reason=str(damage),
        )
        try:
            return self._prepared(path, replaces_corrupt=True)
        except apsw.Error as error:
            raise StateError(f"{path}: {error}") from error

    def series(self, instruments: Sequence[Instrument]) -> list[StoredSeries]:
        """All series; those whose histogram has other buckets now are left out, and begin anew."""
        stored_bounds = dict(self._database.execute("select instrument, bounds from buckets").fetchall())
        bounds = {i.name: json.dumps(i.buckets) for i in instruments if i.buckets}
        changed = {name for name, text in bounds.items() if stored_bounds.get(name, text) != text}
        with self._database:
            for name in changed:
                log.warning("buckets have changed: the histogram begins at zero", instrument=name)
                self._database.execute("delete from series where instrument = ?", (name,))
            self._database.executemany("insert or replace into buckets values (?, ?)", bounds.items())
        rows = self._database.execute("select id, instrument, labels, created, value from series order by id")
        return [
            StoredSeries(id, instrument, json.loads(labels), created, np.frombuffer(value, np.float64).copy())
            for id, instrument, labels, created, value in rows
        ]

    def forget(self, series: Iterable[StoredSeries]) -> None:
        """Delete series that no longer fit."""
        with self._database:
            self._database.executemany("delete from series where id = ?", ((s.id,) for s in series))

    def positions(self, source: str) -> dict[str, bytes]:
        """What a source asked to be told again."""
        rows = self._database.execute("select key, value from positions where source = ?", (source,))
        return dict(rows.fetchall())

    def sources(self) -> list[str]:
        """Names of the sources that have positions."""
        return [name for (name,) in self._database.execute("select distinct source from positions")]

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
        with _as_os_error(), self._database:
            for change in changes:
                self._write(change)
            for source, values in positions.items():
                self._database.executemany(
                    "insert or replace into positions values (?, ?, ?)",
                    ((source, key, value) for key, value in values.items() if value is not None),
                )
                self._database.executemany(
                    "delete from positions where source = ? and key = ?",
                    ((source, key) for key, value in values.items() if value is None),
                )
            self._database.execute("update facts set value = value + 1 where name = 'batch'")

    def _write(self, change: Change) -> None:
        family, rows, totals, first_new = change
        values = [total.tobytes() for total in totals]
        old = int(np.searchsorted(rows, first_new))
        changed = zip(values[:old], rows[:old].tolist(), strict=True)
        self._database.executemany(
            "update series set value = ? where id = ?", ((value, family.ids[row]) for value, row in changed)
        )
        born = zip(values[old:], rows[old:].tolist(), strict=True)
        self._database.executemany(
            "insert into series values (?, ?, ?, ?, ?)",
            (
                (
                    family.ids[row],
                    family.instrument.name,
                    _label_text(family.attributes, family.labels[row]),
                    family.created[row],
                    value,
                )
                for value, row in born
            ),
        )

    def close(self) -> None:
        """Fold the log into the file and give the directory free."""
        try:
            self._database.close()
        finally:
            self._lock.release()


class _DamagedStateError(Exception):
    """A file that is not what this program wrote."""


def _label_text(attributes: Sequence[str], labels: Sequence[str]) -> str:
    known = {name: value for name, value in zip(attributes, labels, strict=True) if value}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":"))


def _connected(path: Path) -> apsw.Connection:
    database = apsw.Connection(str(path))
    try:
        database.set_busy_timeout(BUSY_TIMEOUT_MS)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY"):
            database.execute(f"pragma {pragma}").fetchall()
    except BaseException:
        database.close()
        raise
    return database


def _sync_directory(directory: Path) -> None:
    """Make a new file's name durable too."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise OSError(f"{type(error).__name__.removesuffix('Error').lower()}: {error}") from error
