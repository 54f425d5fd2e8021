"""Request ids: how they are compared, looked up in a day's index, and found in its texts.

A text is that of a block: ids with a newline between two.
"""

import re
import zlib

import numpy as np
from numpy.typing import NDArray

ROW_BITS = 31
"""Bits of an index entry that are the row; the ones above are a hash of the id."""

ROW_MASK = (1 << ROW_BITS) - 1

_PREFIX = re.compile(rb"\n(?:chatcmpl|cmpl|msg|resp|req|embd)[-_](?=[^\n])", re.IGNORECASE)
"""What providers put before an id. It begins with the newline, which is found faster than `^`."""

_WRITTEN_UUID = re.compile(
    rb"\n(?=[0-9a-f]*+[-A-F])[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}(?=\n|\Z)"
)
"""A UUID that is not written plainly."""

_PLAIN_UUID = re.compile(rb"[0-9a-f]{32}")


def _plain(text: bytes) -> bytes:
    """Ids as they are compared: without `chatcmpl-` and the like; of UUIDs the digits alone."""
    text = _PREFIX.sub(b"\n", b"\n" + text)
    return _WRITTEN_UUID.sub(lambda uuid: uuid[0].replace(b"-", b"").lower(), text)[1:]


def encoded(request_id: str) -> bytes:
    """An id as it stands in a block's text."""
    return request_id.replace("\n", " ").encode("utf-8", "replace")


def index_entries(text: bytes, first: int) -> NDArray[np.int64]:
    """What the index has of the rows from `first` on: their ids' CRC-32 and their numbers."""
    hashes = np.fromiter(map(zlib.crc32, _plain(text).split(b"\n")), np.int64)
    rows = np.arange(first, first + len(hashes))
    entries: NDArray[np.int64] = ((hashes << ROW_BITS) | rows)[hashes != 0]  # Zero: of no id.
    return entries


def index_range(request_id: str) -> tuple[int, int]:
    """Where entries of an id stand in the index: the first and the last one that may be."""
    low = zlib.crc32(_plain(encoded(request_id))) << ROW_BITS
    return low, low | ROW_MASK


def lines_with(text: bytes, request_id: str) -> list[int]:
    """Numbers of the lines that are this id, whichever way it is written there."""
    plain = _plain(encoded(request_id))
    found = set()
    for needle in _needles(plain):
        at = text.find(needle)
        while at >= 0:
            begin = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            if _plain(text[begin:end]) == plain:
                found.add(text.count(b"\n", 0, begin))
            at = text.find(needle, end + 1)
    return sorted(found)


def _needles(plain: bytes) -> list[bytes]:
    """What a text that holds the id has in it."""
    if not _PLAIN_UUID.fullmatch(plain):
        return [plain]
    last = plain[-12:]  # A UUID's last part: the only one without a dash in any way of writing.
    return list(dict.fromkeys((last, last.upper())))
