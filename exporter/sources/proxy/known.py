"""Heads that come again: over one connection they are mostly the same, but for the body's length.

Between two messages, bytes that the parser has understood once mean the same when they come again,
and the digits of Content-Length are nothing but a length. So a head that is known is compared: that
takes a fifth of the time in which it is parsed and another one is made of it.
"""

import re
from collections.abc import Mapping

import msgspec

MOST_DIGITS = 10
"""Of a length: no body has more bytes than these can tell, and they are no overflow anywhere."""

LONGEST_HEAD = 4096
"""Bytes of a head that is remembered, several times over, for as long as its connection stands."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,10})\r\n", re.IGNORECASE)


class KnownHead(msgspec.Struct, eq=False, gc=False):
    """A head that the parser has understood, of a message with a body whose length it tells.

    Attributes:
        begin: its bytes up to the digits of Content-Length.
        end: its bytes from there on, the empty line included.
        passed_on: what was made of it for the other side, as far as that is the same each time;
            b"" until then.
    """

    begin: bytes
    end: bytes
    passed_on: bytes = b""

    def parted(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The digits of the length and what is behind the head, if the data begins with it."""
        end = self.end
        if not data.startswith(self.begin):
            return None
        start = len(self.begin)
        stop = data.find(end, start, start + MOST_DIGITS + len(end))
        digits = data[start:stop]
        return (digits, data[stop + len(end) :]) if stop > 0 and digits.isdigit() else None


def known_head(found: Mapping[bytes, bytes], data: bytes, body_bytes: int) -> KnownHead | None:
    """The head of a message, if it is one to be known again.

    Args:
        found: its headers, as the parser told them.
        data: all that came of the message so far, and nothing else.
        body_bytes: how many bytes of it are body.
    """
    end = len(data) - body_bytes
    if end > LONGEST_HEAD or b"upgrade" in found or data.find(b"\r\n\r\n") + 4 != end:
        return None
    length = _LENGTH.search(data, 0, end)
    if length is None or length[1] != found.get(b"content-length"):
        return None
    return KnownHead(data[: length.start(1)], data[length.end(1) : end])
