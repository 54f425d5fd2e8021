"""Hashes by which a file's content is known again. Bytes of a log are never stored."""

from hashlib import blake2b

import msgspec

WINDOW = 1024
"""Bytes that a hash covers at most: many lines of a log, so that equal headers don't deceive."""

STRONG = 2 * WINDOW
"""From this position on a mark's bytes lie behind the first `WINDOW` ones, where files that begin
alike (a banner, a CSV header) still agree."""

OLDER_MARKS = 7


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The hash of the `length` bytes before a position; positions count decompressed bytes."""

    position: int
    length: int
    digest: bytes

    def fits(self, before: bytes) -> bool:
        """Whether it is of these bytes before its position, or of the last of them."""
        return digest(before[max(0, len(before) - self.length) :]) == self.digest


NOTHING = Mark(0, 0, b"")


def mark(position: int, before: bytes) -> Mark:
    """The mark at `position`, given the bytes before it."""
    return Mark(position, len(before), digest(before))


def digest(data: bytes) -> bytes:
    """Eight bytes: two files agree by chance once in 10^19 times."""
    return blake2b(data, digest_size=8).digest()


def ending(before: bytes, data: bytes, stop: int) -> bytes:
    """The last `WINDOW` bytes of `before + data[:stop]`, or fewer where there are no more."""
    if stop >= WINDOW:
        return data[stop - WINDOW : stop]
    return (before + data[:stop])[-WINDOW:]


def thin(marks: list[Mark], position: int) -> None:
    """Drop marks until `OLDER_MARKS` are left, denser towards `position`.

    The first and the last stay; of the others that one goes whose neighbours' distances to the
    position differ least, which leaves distances that grow about as powers.
    """
    while len(marks) > OLDER_MARKS:

        def gap(index: int) -> float:
            return (position - marks[index + 1].position) / (position - marks[index - 1].position)

        del marks[max(range(1, len(marks) - 1), key=gap)]
