"""Request ids: how they are compared, looked up in a day's index, and found in its texts."""

import re
import zlib

_PREFIXES = frozenset({"chatcmpl", "cmpl", "msg", "resp", "req", "embd"})
_LONGEST_PREFIX = max(map(len, _PREFIXES))
_UUID = re.compile("[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)

ROW_BITS = 31
"""Bits of an index entry that are the row; the ones above are a hash of the id."""

ROW_MASK = (1 << ROW_BITS) - 1


def plain_id(request_id: str) -> str:
    """An id as it is compared: without `chatcmpl-` and the like; of a UUID the digits alone."""
    for separator in "-_":
        end = request_id.find(separator, 0, _LONGEST_PREFIX + 1)
        if end > 0 and request_id[:end].lower() in _PREFIXES:
            request_id = request_id[end + 1 :]
            break
    if 32 <= len(request_id) <= 36 and _UUID.fullmatch(request_id):
        return request_id.replace("-", "").lower()
    return request_id


def index_entry(request_id: str, row: int) -> int:
    """What the index has of a row: the plain id's CRC-32 and the row's number."""
    return zlib.crc32(plain_id(request_id).encode("utf-8", "replace")) << ROW_BITS | row


def lines_with(text: bytes, request_id: str) -> list[int]:
    """Numbers of the lines that are this id, whichever way it is written there."""
    plain = plain_id(request_id)
    found = set()
    for needle in _needles(plain):
        at = text.find(needle)
        while at >= 0:
            begin = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            line = text[begin : end if end >= 0 else None]
            if plain_id(line.decode()) == plain:
                found.add(text.count(b"\n", 0, begin))
            at = text.find(needle, begin + len(line))
    return sorted(found)


def _needles(plain: str) -> list[bytes]:
    """What a text that holds the id has in it."""
    if not _UUID.fullmatch(plain):
        return [plain.encode("utf-8", "replace")]
    last = plain[-12:]  # A UUID's last part: the only one without a dash in any way of writing.
    return [text.encode() for text in dict.fromkeys((last, last.upper()))]
