"""The names of requests, which are written once a day."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from exporter.record import Kind

N = TypeVar("N")

KINDS, ATTRIBUTES = 0, 1
"""Numbers of a day's dictionaries."""

MOST_NAMES = 65_535
"""Entries of a dictionary, which 16 bits number; the last one stands for all further ones."""

MOST_REMEMBERED = 4096
"""Names that are kept in memory: many more than a gateway has. Clients can invent any number, and
those must not stay there until the day is over."""


AT_ONCE = 1024
"""Names that are read together."""


class LoggedKind(NamedTuple):
    """The names of a request but its extra attributes, and the source that told of it.

    Attributes:
        currency: of a cost that the gateway reported.
        estimate_currency: of a cost by the price list.
    """

    model: str
    response_model: str
    provider: str
    operation: str
    status_code: int
    error_type: str
    streamed: bool
    cache_hit: bool
    finish_reason: str
    currency: str
    estimate_currency: str
    source: str


def logged(kind: Kind, source: str, estimate_currency: str = "") -> LoggedKind:
    """A kind as the log keeps it."""
    return LoggedKind(
        *(kind.model, kind.response_model, kind.provider, kind.operation, kind.status_code),
        *(kind.error_type, kind.streamed, kind.cache_hit, kind.finish_reason),
        *(kind.currency, estimate_currency, source),
    )


OTHER = "other"
"""Each name of what has no number of its own."""

_OTHER_KIND = LoggedKind(*(OTHER, OTHER, OTHER, OTHER, 0, OTHER, False, False, "", "", "", OTHER))


class Dictionary:
    """Names as JSON and their numbers, as they are written.

    A name that was not met for long is forgotten, and gets another number if it comes again.

    Args:
        count: how many the file has.
        newest: the last of them with their numbers, oldest first; `MOST_REMEMBERED` are enough.

    Attributes:
        unstored: those that the file does not have, by number.
    """

    def __init__(self, number: int, count: int, newest: Iterable[tuple[str, int]]) -> None:
        self.number = number
        self.unstored: dict[int, str] = {}
        self._count = count
        self._numbers = dict(newest)
        self._other = _json(_OTHER_KIND if number == KINDS else {})

    def of(self, name: LoggedKind | dict[str, str]) -> int:
        """The name's number, given now if it is new; that of `other` when all are given."""
        text = _json(name)
        number = self._numbers.pop(text, None)
        if number is None:
            number = min(self._count, MOST_NAMES - 1)
            if number == MOST_NAMES - 1:
                text = self._other
            if number == self._count:
                self.unstored[number] = text
                self._count += 1
        self._numbers[text] = number
        if len(self._numbers) > MOST_REMEMBERED:
            del self._numbers[next(iter(self._numbers))]
        return number


def _json(name: LoggedKind | dict[str, str]) -> str:
    """As JSON; halves of surrogate pairs, which no file can hold, become question marks."""
    return json.dumps(name, ensure_ascii=False).encode("utf-8", "replace").decode()


class Names(Generic[N]):
    """A day's dictionary in its file, read as far as it is asked for.

    Args:
        name: makes a name of its JSON.
    """

    def __init__(
        self, database: apsw.Connection, dictionary: int, name: Callable[[str], N]
    ) -> None:
        self._database = database
        self._dictionary = dictionary
        self._name = name
        ((count,),) = self._select("coalesce(max(number) + 1, 0)", "true")
        self._count: int = count

    def _select(self, what: str, where: str, *values: object) -> list[Any]:
        query = f"select {what} from names where dictionary = ? and {where}"  # noqa: S608
        return self._database.execute(query, (self._dictionary, *values)).fetchall()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[N]:
        """All, by number; a few of them at a time in memory."""
        for first in range(0, self._count, AT_ONCE):
            end = min(first + AT_ONCE, self._count)
            found = self._select("value", "number >= ? and number < ? order by number", first, end)
            yield from (self._name(text) for (text,) in found)

    def at(self, numbers: NDArray[np.integer]) -> list[N]:
        """Those of some numbers, which must ascend."""
        if not len(numbers):  # carray takes none.
            return []
        where = "number in (select value from carray(?)) order by number"
        found = self._select("value", where, apsw.carray(numbers.astype(np.int64)))
        return [self._name(text) for (text,) in found]


logged_kind = lru_cache(MOST_REMEMBERED)(msgspec.json.Decoder(LoggedKind).decode)
"""Of its JSON."""

logged_attributes = lru_cache(MOST_REMEMBERED)(msgspec.json.Decoder(dict[str, str]).decode)
"""Of their JSON."""
