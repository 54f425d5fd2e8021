"""One day of the request log, open for writing: a SQLite file of blocks.

Rows are numbered from zero in the order in which they came, for life. A commit appends a block of
its own; when enough small ones have gathered they are merged. The number of the batch is written
with its rows, in the day's own transaction and before the state's: a batch that the state does not
know of after a crash is taken back.
"""

from itertools import takewhile
from pathlib import Path
from typing import Any

import apsw

from exporter.errors import StateError
from exporter.requestlog import blocks
from exporter.requestlog.columns import BLOCK_ROWS, Rows, joined
from exporter.requestlog.ids import ROW_MASK
from exporter.requestlog.indexing import Indexing
from exporter.requestlog.names import ATTRIBUTES, KINDS, MOST_REMEMBERED, Dictionary

FORMAT = 1
"""Version of the file format; `docs/request-log.md` describes it."""

MOST_SMALL_BLOCKS = 32
"""Blocks that are not full, before they are merged: each costs a search a few reads."""

BUSY_TIMEOUT_MS = 1000
"""How long to wait for a person who looks into the file with a tool."""

MOST_LOG_BYTES = 64 << 20
"""Of the write-ahead log, which readers may keep SQLite from beginning anew."""


class DayFile:
    """A day's file and its only writer.

    Args:
        state, batch: the state that batches are numbered by, and its last one: what the file has of
            a later batch is taken back. A file that was written beside another state is kept.

    Attributes:
        dictionaries: by `KINDS` and `ATTRIBUTES`; names may be added at any time.
        rows: how many it has.

    Raises:
        StateError: the file is of another format.
        apsw.Error: it cannot be opened or written, or is damaged.
    """

    def __init__(self, path: Path, state: str, batch: int) -> None:
        self.path = path
        self._state = state
        self._log = path.with_name(path.name + "-wal")
        self._log_limit = MOST_LOG_BYTES
        self._database = apsw.Connection(str(path))
        try:
            self._database.set_busy_timeout(BUSY_TIMEOUT_MS)
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                self._database.execute(f"pragma {pragma}").fetchall()
            self._make()
            self._load(batch)
        except BaseException:
            self._database.close()
            raise

    def shorten_log(self) -> None:
        """Empty the write-ahead log if it has grown too long.

        SQLite begins it anew when nobody reads from it. Where searches and exports overlap that is
        never, so they are waited for here, those that begin meanwhile left out.
        """
        size = self._log.stat().st_size
        if size <= self._log_limit:
            return
        try:
            self._database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            self._log_limit = size + MOST_LOG_BYTES
        else:
            self._log_limit = MOST_LOG_BYTES

    def _make(self) -> None:
        version = self._database.pragma("user_version")
        if version not in (0, FORMAT):
            raise StateError(
                f"{self.path}: a request log of format {version}, this program writes {FORMAT}; "
                "start the version that wrote it, or move the file away"
            )
        if version == 0:
            with self._database:
                self._database.execute(blocks.TABLES)
                self._database.executemany(
                    "insert into facts values (?, ?)",
                    [("batch", 0), ("indexed", 0), ("rows", 0), ("rows_before", 0), ("state", "")],
                )
                self._database.execute(f"pragma user_version = {FORMAT}").fetchall()

    def _load(self, batch: int) -> None:
        found: list[Any] = self._database.execute("select name, value from facts").fetchall()
        facts = dict(found)
        self.rows: int = facts["rows"]
        self._batch: int = facts["batch"]
        self._rows_before: int = facts["rows_before"]
        if facts["state"] != self._state:
            self._batch = 0
            with self._database:
                blocks.set_facts(self._database, state=self._state, batch=0)
        elif self._batch > batch:
            self._roll_back(batch, facts["indexed"])
        self._indexing = Indexing(self._database, min(facts["indexed"], self.rows))
        self.dictionaries = [self._dictionary(number) for number in (KINDS, ATTRIBUTES)]

    def _dictionary(self, number: int) -> Dictionary:
        query = "select value, number from names where dictionary = ? order by number desc limit ?"
        newest: list[Any] = self._database.execute(query, (number, MOST_REMEMBERED)).fetchall()
        count = newest[0][1] + 1 if newest else 0
        return Dictionary(number, count, reversed(newest))

    def _roll_back(self, batch: int, indexed: int) -> None:
        """Take back the rows of the last batch."""
        end = self._rows_before
        with self._database:
            where = f"{blocks.WITH_ROWS_FROM} order by first"
            for block in list(blocks.summaries(self._database, where, end)):
                kept = blocks.rows_of(self._database, block)[: max(0, end - block.first)]
                blocks.delete(self._database, block)
                if len(kept):
                    blocks.insert(self._database, block.first, kept)
            self._database.execute("delete from ids where (entry & ?) >= ?", (ROW_MASK, end))
            blocks.set_facts(self._database, batch=batch, rows=end, indexed=min(indexed, end))
        self._batch, self.rows = batch, end

    def append(self, rows: Rows, batch: int) -> None:
        """Add the rows of a batch, durably, all or none; one that is there is not added again."""
        if self._batch == batch:
            return
        before = self.rows
        with self._database:
            self._add(rows)
            for dictionary in self.dictionaries:
                self._database.executemany(
                    "insert into names values (?, ?, ?)",
                    [(dictionary.number, *name) for name in dictionary.unstored.items()],
                )
            rows_now = before + len(rows)
            blocks.set_facts(self._database, batch=batch, rows=rows_now, rows_before=before)
        for dictionary in self.dictionaries:
            dictionary.unstored.clear()
        self._batch, self.rows, self._rows_before = batch, before + len(rows), before

    def _add(self, rows: Rows) -> None:
        """Rows as blocks, together with the small ones before them if those are many or enough."""
        first = self.rows
        small = self._small_blocks()
        waiting = sum(block.rows for block in small)
        if small and (waiting + len(rows) >= BLOCK_ROWS or len(small) >= MOST_SMALL_BLOCKS):
            parts = [blocks.rows_of(self._database, block) for block in small]
            rows = joined([*parts, rows])
            first = small[0].first
            for block in small:
                blocks.delete(self._database, block)
        for start in range(0, len(rows), BLOCK_ROWS):
            blocks.insert(self._database, first + start, rows[start : start + BLOCK_ROWS])

    def _small_blocks(self) -> list[blocks.Block]:
        """Those at the end that are not full, oldest first."""
        where = f"true order by first desc limit {MOST_SMALL_BLOCKS}"
        newest = blocks.summaries(self._database, where)
        return list(takewhile(lambda block: block.rows < BLOCK_ROWS, newest))[::-1]

    @property
    def indexed(self) -> int:
        """Rows whose ids are in the index."""
        return self._indexing.indexed

    def index(self, most_blocks: int) -> None:
        """Do as much of the work on the index as so many blocks take."""
        self._indexing.go_on(most_blocks)

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self._database.close()
