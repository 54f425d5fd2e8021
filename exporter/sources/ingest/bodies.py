"""A push's body as lines: a JSON object, an array of them, or lines, whatever it is called."""

from collections.abc import Iterator

import msgspec

BLOCK_BYTES = 1 << 18
"""Lines that are decoded in one go, a millisecond's work: meanwhile other threads stand still."""

_WHOLE = msgspec.json.Decoder(msgspec.Raw)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_NOTHING = b"null"


def json_lines(body: bytes) -> Iterator[bytes]:
    """The body in blocks of whole lines, a JSON value each; nulls in an array are left out.

    What is neither one JSON value nor an array of them is taken for lines already.
    """
    text = body.strip()
    try:
        if text.startswith(b"["):
            values = [bytes(value) for value in _ARRAY.decode(text)]
        else:
            values = [bytes(_WHOLE.decode(text))]
    except (ValueError, RecursionError):
        return blocks(body)
    return blocks(b"\n".join(_one_line(value) for value in values if value != _NOTHING))


def blocks(lines: bytes) -> Iterator[bytes]:
    """Lines in blocks, each line ended by a newline."""
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + BLOCK_BYTES)
        if end < 0:
            rest = lines[start:]
            yield rest if rest.endswith(b"\n") else rest + b"\n"
            return
        yield lines[start : end + 1]
        start = end + 1


def _one_line(value: bytes) -> bytes:
    """A JSON value without line breaks: those between tokens mean nothing, in strings are none."""
    return value.replace(b"\r", b" ").replace(b"\n", b" ")
