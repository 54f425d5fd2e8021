"""The names of requests, which are written once a day."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from exporter.record import Kind

KINDS, ATTRIBUTES = 0, 1
"""Numbers of a day's dictionaries."""

MOST_NAMES = 65_535
"""Entries of a dictionary, which 16 bits number; the last one stands for all further ones."""


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


_OTHER = "other"
_OTHER_KIND = LoggedKind(
    *(_OTHER, _OTHER, _OTHER, _OTHER, 0, _OTHER, False, False, "", "", "", _OTHER)
)


class Dictionary:
    """Names as JSON, and their numbers.

    Attributes:
        names: by number.
        stored: how many of them the file has.
    """

    def __init__(self, number: int, names: Iterable[str]) -> None:
        self.number = number
        self.names = list(names)
        self.stored = len(self.names)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._other = _json(_OTHER_KIND if number == KINDS else {})

    def of(self, name: LoggedKind | dict[str, str]) -> int:
        """The name's number, given now if it is new; that of `other` when all are given."""
        text = _json(name)
        if text not in self._numbers and len(self.names) >= MOST_NAMES - 1:
            text = self._other
        if text not in self._numbers:
            self._numbers[text] = len(self.names)
            self.names.append(text)
        return self._numbers[text]


def _json(name: LoggedKind | dict[str, str]) -> str:
    """As JSON; halves of surrogate pairs, which no file can hold, become question marks."""
    return json.dumps(name, ensure_ascii=False).encode("utf-8", "replace").decode()
