"""Chunks of a body in transit: RFC 9112, section 7.1.

Most streams come a chunk at a time and go on in chunks. One that is written as we would write it
can be compared and passed on as it is, without a parser and a new frame.
"""

from functools import lru_cache

CHUNK = b"%x\r\n%b\r\n"
"""A chunk: its length, and its content."""

CHUNK_END = b"\r\n"

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a body, without trailers."""

_MOST_DIGITS = 8


@lru_cache(maxsize=1 << 12)
def chunk_begin(size: int) -> bytes | None:
    """How a chunk of `CHUNK`'s form begins that has so many bytes in all.

    None where none has that size, or only the last chunk of a body, which is empty.
    """
    for digits in range(1, _MOST_DIGITS + 1):
        begin = b"%x\r\n" % max(size - digits - 4, 0)
        if len(begin) == digits + 2:
            return None if begin == b"0\r\n" else begin
    return None
