"""The index of a day's ids as it is made: of many rows together, a range of their hashes at a time.

The index is in the order of the ids' hashes, so that rows which come one after the other are spread
over all of it, and each of its pages would be written for a few of them. In a day of 18 million,
32,768 entries cost 330 MB of writing as they come; as an eighth of eight times as many, 104. Both
were taken by hand.
"""

import apsw
import numpy as np
from numpy.typing import NDArray

from exporter.requestlog import blocks
from exporter.requestlog.columns import BLOCK_ROWS, TEXT_COLUMNS
from exporter.requestlog.ids import ROW_MASK, index_entries

TOGETHER = 128
"""Blocks whose entries are written together: 2 MiB in memory."""


class Indexing:
    """Of one day; used by its only writer.

    Attributes:
        indexed: rows whose ids are in the index, as the file says.
    """

    def __init__(self, database: apsw.Connection, indexed: int) -> None:
        self.indexed = indexed
        self._database = database
        self._made: list[NDArray[np.int64]] = []  # By block.
        self._made_to = indexed
        self._parts: list[NDArray[np.int64]] = []
        self._parts_to = indexed

    def go_on(self, most_blocks: int) -> None:
        """Do as much of the work as so many blocks take: make entries, and write some of before.

        Raises:
            apsw.Error: they could not be written; nothing is lost, and it may be tried again.
        """
        asked = most_blocks if len(self._made) < TOGETHER else 0
        made = self._make(asked)
        if not self._parts and (made < asked or len(self._made) >= TOGETHER):
            entries = np.sort(np.concatenate([np.zeros(0, np.int64), *self._made]))
            most = most_blocks * BLOCK_ROWS
            self._parts = np.array_split(entries, max(1, -(-len(entries) // most)))
            self._parts_to = self._made_to
            self._made.clear()
        if self._parts:
            self._write(self._parts[0])
            del self._parts[0]
            if not self._parts:
                self.indexed = self._parts_to

    def _make(self, most_blocks: int) -> int:
        """Make the entries of further blocks, as far as there are some; of how many."""
        where = f"{blocks.WITH_ROWS_FROM} order by first limit ?2"
        made = 0
        for block in blocks.summaries(self._database, where, self._made_to, most_blocks):
            entries = np.zeros(0, np.int64)
            ids = [TEXT_COLUMNS["request_id"]]
            for text in blocks.read(self._database, block.first, ids).values():
                of_block = index_entries(text, block.first)
                entries = of_block[of_block & ROW_MASK >= self._made_to]
            self._made.append(entries)
            self._made_to = block.end
            made += 1
        return made

    def _write(self, entries: NDArray[np.int64]) -> None:
        with self._database:
            if len(entries):
                # One statement for all: between statements SQLite lets go of the interpreter. Some
                # may be there from before a crash.
                self._database.execute(
                    "insert or ignore into ids select value from carray(?)",
                    (apsw.carray(entries),),
                )
            if len(self._parts) == 1:
                blocks.set_facts(self._database, indexed=self._parts_to)
