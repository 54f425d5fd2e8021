"""Blocks in a day's database: their summaries and their columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from exporter.requestlog.columns import (
    COLUMN_LIMIT,
    LATENCY,
    START_TIME,
    Names,
    Rows,
    decoded,
    encoded,
)

TABLES = """
create table facts (name text primary key, value not null) without rowid;
create table names (
    dictionary integer, number integer, value text not null, primary key (dictionary, number)
) without rowid;
create table blocks (
    first integer primary key, rows integer not null,
    earliest integer not null, latest integer not null, longest integer not null,
    kinds blob not null, attributes blob not null
);
create table columns (id integer primary key, data blob not null);
create table ids (entry integer primary key);
"""

SUMMARIES = 256
"""Made at once."""

WITH_ROWS_FROM = "first >= (select max(first) from blocks where first <= ?1) and first + rows > ?1"
"""The condition of blocks with rows from a number on: by their keys, for a busy day has a hundred
thousand before them."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's summary.

    Attributes:
        first: number of its first row.
        earliest, latest: start times, microseconds since 1970.
        longest: latency, ticks of 10 µs; 0 if none is known.
        kinds, attributes: which numbers of the dictionaries occur, as bits.
    """

    first: int
    rows: int
    earliest: int
    latest: int
    longest: int
    kinds: int
    attributes: int

    @property
    def end(self) -> int:
        """Number of the row after its last one."""
        return self.first + self.rows


def set_facts(database: apsw.Connection, **facts: int | str) -> None:
    """Change some of the facts about a day."""
    database.executemany("update facts set value = ?2 where name = ?1", facts.items())


def bits(numbers: Names) -> bytes:
    """A set of small numbers as bits, little end first."""
    present = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
    present[numbers] = True
    return np.packbits(present, bitorder="little").tobytes()


def summaries(database: apsw.Connection, where: str, *values: int) -> Iterator[Block]:
    """Blocks by a condition on their columns, and in its order."""
    query = f"select * from blocks where {where}"  # noqa: S608 - all conditions are constants.
    found: list[Any] = database.execute(query, values).fetchall()
    for first, rows, earliest, latest, longest, kinds, attributes in found:
        names = int.from_bytes(kinds, "little"), int.from_bytes(attributes, "little")
        yield Block(first, rows, earliest, latest, longest, *names)


def newest_first(database: apsw.Connection, earliest: int, latest: int) -> Iterator[Block]:
    """Blocks that reach into a time, by the latest of their starts.

    A busy day has a hundred thousand; their summaries are made a few at a time, as they are wanted.
    """
    query = "select first from blocks where latest >= ? and earliest <= ? order by latest desc"
    found: list[Any] = database.execute(query, (earliest, latest)).fetchall()
    numbers = [first for (first,) in found]
    for start in range(0, len(numbers), SUMMARIES):
        wanted = numbers[start : start + SUMMARIES]
        marks = ",".join(map(str, wanted))
        by_number = {block.first: block for block in summaries(database, f"first in ({marks})")}
        yield from (by_number[number] for number in wanted)


def read(
    database: apsw.Connection, first: int, columns: Sequence[int] = range(COLUMN_LIMIT)
) -> dict[int, bytes]:
    """Blobs of a block by column number; those that it has of the columns asked for."""
    base = first * COLUMN_LIMIT
    marks = ",".join(str(base + column) for column in columns)
    query = f"select id, data from columns where id in ({marks})"  # noqa: S608 - numbers.
    found: list[Any] = database.execute(query).fetchall()
    return {id - base: data for id, data in found}


def rows_of(database: apsw.Connection, block: Block) -> Rows:
    """All columns of a block."""
    return decoded(read(database, block.first))


def insert(database: apsw.Connection, first: int, rows: Rows) -> None:
    """Write a block."""
    starts = rows.numbers[START_TIME.name]
    summary = (first, len(rows), int(starts.min()), int(starts.max()), _longest(rows))
    database.execute(
        "insert into blocks values (?, ?, ?, ?, ?, ?, ?)",
        (*summary, bits(rows.kinds), bits(rows.attributes)),
    )
    blobs = encoded(rows)
    values = ",".join(["(?, ?)"] * len(blobs))
    # One statement for all: between statements SQLite lets other threads have the interpreter.
    database.execute(
        f"insert into columns values {values}",  # noqa: S608 - marks only.
        [part for id, data in blobs.items() for part in (first * COLUMN_LIMIT + id, data)],
    )


def _longest(rows: Rows) -> int:
    latencies: NDArray[np.uint32] | None = rows.numbers.get(LATENCY.name)
    if latencies is None:
        return 0
    return int(latencies[latencies != LATENCY.unknown].max(initial=0))


def delete(database: apsw.Connection, block: Block) -> None:
    """Delete a block."""
    database.execute("delete from blocks where first = ?", (block.first,))
    ids = block.first * COLUMN_LIMIT, (block.first + 1) * COLUMN_LIMIT
    database.execute("delete from columns where id >= ? and id < ?", ids)
