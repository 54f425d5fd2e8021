"""A day of the request log, open for reading."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import apsw
import numpy as np
from numpy.typing import NDArray

from exporter.errors import StateError
from exporter.requestlog import blocks
from exporter.requestlog.blocks import Block
from exporter.requestlog.columns import KIND_COLUMN, decoded
from exporter.requestlog.day import BUSY_TIMEOUT_MS, FORMAT
from exporter.requestlog.files import DayName
from exporter.requestlog.filter import Filter, Selection
from exporter.requestlog.ids import ROW_MASK, index_range
from exporter.requestlog.names import ATTRIBUTES, KINDS, Names, logged_attributes, logged_kind
from exporter.requestlog.table import Table, table


class OpenDay:
    """A connection to a day's file, for one thread; as a context, one view of it.

    Attributes:
        rows: those that may be shown.
        indexed: rows whose ids are in the index.
        kinds, attributes: its dictionaries.
    """

    def __init__(self, name: DayName, database: apsw.Connection, published: int | None) -> None:
        self.name = name
        self.database = database
        self._selected: tuple[Filter, Selection] | None = None
        with database:
            found: list[Any] = database.execute("select name, value from facts").fetchall()
            facts = dict(found)
            is_shown = published is None or facts["batch"] <= published
            self.rows: int = facts["rows"] if is_shown else facts["rows_before"]
            self.indexed: int = facts["indexed"]
            self.kinds = Names(database, KINDS, logged_kind)
            self.attributes = Names(database, ATTRIBUTES, logged_attributes)

    def __enter__(self) -> Self:
        self.database.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.database.__exit__(None, None, None)
        self.database.close()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """A context without one view, so that nothing is held between two blocks."""
        try:
            yield
        finally:
            self.database.close()

    @contextmanager
    def view(self) -> Iterator[None]:
        """One view for a part of it: a block is not merged while its columns are read."""
        with self.database:
            yield

    def selection(self, wanted: Filter) -> Selection:
        """The filter for this day; made once."""
        if self._selected is None or self._selected[0] is not wanted:
            self._selected = wanted, Selection(wanted, self.kinds, self.attributes)
        return self._selected[1]

    def blocks(self, wanted: Filter, latest: int) -> Iterator[Block]:
        """Those that may hold what is wanted and started until `latest`, newest first."""
        found: Iterable[Block]
        if wanted.request_id:
            with_id = self._blocks_with(wanted.request_id)
            found = sorted(with_id, key=lambda block: block.latest, reverse=True)
        else:
            found = blocks.newest_first(self.database, wanted.earliest, latest)
        for block in found:
            is_in_time = block.earliest <= latest and block.first < self.rows
            if is_in_time and self.selection(wanted).may_hold(block):
                yield block

    def _blocks_with(self, request_id: str) -> Iterator[Block]:
        """By the index of ids as far as it goes, else all of them."""
        query = "select entry from ids where entry between ? and ? order by entry"
        entries: list[Any] = self.database.execute(query, index_range(request_id)).fetchall()
        block: Block | None = None
        for (entry,) in entries:
            row = entry & ROW_MASK
            if row < self.indexed and (block is None or row >= block.end):
                block = self.block_of(row)
                if block is not None and block.end <= self.indexed:
                    yield block
        yield from blocks.summaries(self.database, blocks.WITH_ROWS_FROM, self.indexed)

    def block_of(self, row: int) -> Block | None:
        """The block that holds a row."""
        where = "first <= ? order by first desc limit 1"
        return next(blocks.summaries(self.database, where, row), None)

    def next_in_time(self, row: int, wanted: Filter) -> Block | None:
        """The block that holds a row if it reaches into the filter's time, else the next that does;
        SQLite passes over the others."""
        where = (
            f"{blocks.WITH_ROWS_FROM} and latest >= ?2 and earliest <= ?3 order by first limit 1"
        )
        found = blocks.summaries(self.database, where, row, wanted.earliest, wanted.latest)
        return next(found, None)

    def table(self, block: Block, rows: Sequence[int]) -> Table:
        """Some rows of a block, by their numbers in the day."""
        places = np.array(rows, np.int64) - block.first
        whole = blocks.rows_of(self.database, block)
        return table(whole, places, block.first, str(self.name), self.kinds, self.attributes)

    def count(self, block: Block, wanted: Filter) -> NDArray[np.int64]:
        """How many rows of a block match, by the number of their kind; shape (kinds,)."""
        is_whole = wanted.earliest <= block.earliest and block.latest <= wanted.latest
        selection = self.selection(wanted)
        is_by_kind = not (wanted.attributes or wanted.min_latency or wanted.request_id)
        if is_whole and is_by_kind and block.end <= self.rows:
            kinds = decoded(blocks.read(self.database, block.first, [KIND_COLUMN])).kinds
            kinds = kinds[selection.kinds[kinds]]
        else:
            places, _, kinds = selection.matches(self.database, block)
            kinds = kinds[places + block.first < self.rows]
        return np.bincount(kinds, minlength=len(self.kinds))


def open_day(directory: Path, name: DayName, published: int | None) -> OpenDay | None:
    """A day's file; None if it is gone, or not made yet.

    Raises:
        StateError: it cannot be opened, or is of another format.
    """
    path = name.path(directory)
    if not path.exists():
        return None
    try:
        return _opened(path, name, published)
    except apsw.Error as error:
        if not path.exists():  # Retention was faster.
            return None
        raise StateError(f"{path}: {error}") from error


def _opened(path: Path, name: DayName, published: int | None) -> OpenDay | None:
    database = _connection(path)
    try:
        version = database.pragma("user_version")
        if version == 0:
            database.close()
            return None
        if version != FORMAT:
            raise StateError(f"{path}: a request log of format {version}, not {FORMAT}")
        return OpenDay(name, database, published)
    except BaseException:
        database.close()
        raise


def _connection(path: Path) -> apsw.Connection:
    """For reading, also as a user who may not write the files that SQLite puts beside a day's."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        database.set_busy_timeout(BUSY_TIMEOUT_MS)
        database.pragma("user_version")
    except (apsw.ReadOnlyError, apsw.CantOpenError):
        database.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # Its writer has closed it, so that nothing of it is elsewhere.
        return apsw.Connection(
            f"{path.absolute().as_uri()}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
    except BaseException:
        database.close()
        raise
    return database
