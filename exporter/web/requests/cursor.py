"""Where the next page goes on, as an opaque text."""

import base64
import zlib

import msgspec

from exporter.requestlog.files import day_name
from exporter.requestlog.filter import Filter
from exporter.requestlog.search import Place

MOST_CHARACTERS = 200

_VERSION = 1


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    version: int
    start: int
    file: str
    row: int
    filter: int


def cursor(place: Place, wanted: Filter) -> str:
    """The place, good for the same filter only."""
    data = msgspec.json.encode(_Cursor(_VERSION, *place, _fingerprint(wanted)))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def place_of(text: str, wanted: Filter) -> Place:
    """The place again.

    Raises:
        ValueError: it is no cursor, or that of another filter.
    """
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
        found = msgspec.json.decode(data, type=_Cursor)
        if found.file:
            day_name(found.file)
        if not 0 <= found.start <= 2**62:
            raise ValueError(found.start)
    except ValueError as error:
        raise ValueError("expected a `next` of an answer") from error
    if found.version != _VERSION or found.filter != _fingerprint(wanted):
        raise ValueError("expected a `next` of an answer to the same filter")
    return Place(found.start, found.file, found.row)


def _fingerprint(wanted: Filter) -> int:
    return zlib.crc32(msgspec.json.encode(wanted))
