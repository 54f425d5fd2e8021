"""Whose content a file holds: what is counted of it already, and whether it is a copy."""

from collections.abc import Iterable
from typing import NamedTuple

from exporter.sources.tail.content import Content, Unready, last_bytes
from exporter.sources.tail.discovery import Found
from exporter.sources.tail.fingerprint import STRONG, WINDOW
from exporter.sources.tail.follower import Follower
from exporter.sources.tail.record import FileRecord
from exporter.sources.tail.rotation import lineage_of

SHORT = 256
"""Content of which less is counted may begin like another file's by chance: a banner, a header."""


class Counted(NamedTuple):
    """How much of a content is counted.

    Attributes:
        skipping: the position is inside a line that is counted, or too long.
    """

    position: int
    skipping: bool = False


class Match(NamedTuple):
    """A record whose content a file's content is, as far as both go."""

    record: FileRecord
    counted: Counted


def counted(record: FileRecord, content: Content) -> Counted | None:
    """How far the content is what the record has counted, None if it isn't.

    That is to the record's position or, in a file that was cut or a copy that was made earlier, to
    the file's end. There the last mark that the content is long enough for has to fit. What follows
    that mark isn't known: it is taken for counted if the mark is a strong one, else the content is
    another one that begins with the same header.

    Raises:
        Unready, OSError: as Content does.
    """
    if record.position == 0:
        is_same = record.head.length >= SHORT and content.matches(record.head)
        return Counted(0) if is_same else None
    if content.matches(record.mark):
        same = content.matches(record.head)
        return Counted(record.position, record.skipping) if same else None
    length = content.length()
    if length >= record.position or (
        length >= record.head.length and not content.matches(record.head)
    ):
        return None
    marks = [mark for mark in record.marks if mark.position <= length]
    if not marks:
        return None
    mark = marks[-1]
    if not content.matches(mark):
        return None
    if mark.position == length:
        return Counted(length)
    if mark.position >= STRONG:
        return Counted(length, skipping=content.at(length - 1, 1) != b"\n")
    rest = content.at(mark.position, length - mark.position)
    return None if b"\n" in rest else Counted(mark.position)


def orphan_of(found: Found, content: Content, orphans: Iterable[FileRecord]) -> Match | None:
    """The record whose file is gone and whose content stands here, the longest one.

    Args:
        found: where the content stands.
        orphans: records with the same first bytes.

    Raises:
        Unready, OSError: as Content does.
    """
    matches = [
        Match(record, kept)
        for record in sorted(orphans, key=lambda record: (record.position, record.serial))
        if (record.position >= SHORT or _is_likely(found, record))
        and (kept := counted(record, content)) is not None
        and (kept.position == record.position or found.path != record.lineage)
    ]
    return max(matches, key=lambda match: match.counted.position, default=None)


def _is_likely(found: Found, record: FileRecord) -> bool:
    """With little content the name has to tell: a rotated copy, or the file on a renamed device."""
    is_same_inode = found.file_id[1] == record.inode and not record.orphan
    is_rotated = lineage_of(found.path) == record.lineage != found.path
    return is_rotated or (found.path == record.path and is_same_inode)


class Original(NamedTuple):
    """A file that another one may be a copy of.

    Attributes:
        agreed: bytes that stand in both.
        at_end: all of it was read.
        linked: it has a name.
    """

    record: FileRecord
    agreed: int
    at_end: bool
    linked: bool


def original_of(
    path: str, content: Content, followers: Iterable[Follower], idle: Iterable[FileRecord]
) -> Original | None:
    """The file that this content may be a copy of, the one that agrees farthest.

    Args:
        path: where the content stands.
        followers: files being read.
        idle: records of files that are read to their end and closed.

    Raises:
        Unready, OSError: as Content does.
    """
    originals = [
        *(
            Original(one.record, _agreed(path, content, one), one.at_end, one.linked)
            for one in followers
        ),
        *(Original(record, _agreed_by_marks(content, record), True, True) for record in idle),
    ]
    likely = [original for original in originals if original.agreed]
    return max(likely, key=lambda original: original.agreed, default=None)


def _agreed(path: str, content: Content, follower: Follower) -> int:
    """How many bytes of the content stand in the other file too; 0 if it isn't a copy."""
    original, record = follower.content, follower.record
    if original.gzip:  # can't be read here and there
        return _agreed_by_marks(content, record)
    if record.position and not original.matches(record.mark):
        raise Unready  # it was truncated a moment ago, which is noticed when it is read
    length = content.length()
    if path == record.lineage and length < max(SHORT, record.position):
        return 0  # what follows a file begins like it
    first = min(length, WINDOW)
    alike = (
        length <= original.length()
        and original.at(0, first) == content.at(0, first)
        and last_bytes(original, length) == last_bytes(content, length)
    )
    return length if alike else 0


def _agreed_by_marks(content: Content, record: FileRecord) -> int:
    match = counted(record, content)
    return match.position if match else 0
