"""What a container runtime puts around each line, and taking it off.

CRI: `2026-01-01T00:00:00.123456789Z stdout F the line`, where P stands in the place of F in all
pieces of a cut line but the last one (Kubernetes' design proposal "CRI: log management for
container stdout/stderr streams"). Docker's json-file:
`{"log":"the line\\n","stream":"stdout","time":"…"}`, where a piece has no newline in the end.
"""

import re
from collections.abc import Callable

import msgspec

from exporter.sources.tail.joiner import Joiner

LOOKED_AT = 10
"""Lines at a block's start in which an envelope is looked for: the first may be damaged."""

_CRI = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) [FP][ :\n]"
)
_STREAM = len(b"stdout ")
_FULL = b"F"
_PARTIAL = b"P"


class _Entry(msgspec.Struct, gc=False):
    log: str
    stream: str
    time: str


_docker = msgspec.json.Decoder(_Entry)


class _NotPlain(Exception):
    """A line that is a piece, or has no envelope."""


class Unwrapper:
    """Takes the envelope off the lines of one log.

    Args:
        setting: the name of an envelope, "none", or "auto": the one that is seen first.
        joiner: of the log's records that are in pieces.
    """

    def __init__(self, setting: str, joiner: Joiner) -> None:
        self._joiner = joiner
        self._is_undecided = setting == "auto"
        self._unwrap = _UNWRAP.get(setting)

    def unwrap(self, lines: bytes) -> bytes:
        """Whole lines without their envelope; a line that has none stays as it is."""
        if self._is_undecided and (name := find(lines)):
            self._is_undecided = False
            self._unwrap = _UNWRAP[name]
        return lines if self._unwrap is None else self._unwrap(lines, self._joiner)


def find(lines: bytes) -> str | None:
    """The name of the envelope around the lines, None if there is none."""
    start = 0
    for _ in range(LOOKED_AT):
        if _CRI.match(lines, start):
            return "cri"
        if lines.startswith(b'{"log":"', start) and _is_docker(lines, start):
            return "docker"
        start = lines.find(b"\n", start) + 1
        if not start or start == len(lines):
            break
    return None


def _is_docker(lines: bytes, start: int) -> bool:
    try:
        _docker.decode(lines[start : lines.index(b"\n", start)])
    except (ValueError, RecursionError):
        return False
    return True


def cri(lines: bytes, joiner: Joiner) -> bytes:
    """Takes off CRI's prefix; lines are sliced where all timestamps are as long as the first."""
    rows = lines[:-1].split(b"\n")
    if not joiner.open:
        at = rows[0].find(b" ") + 1
        text = at + _STREAM + len(_FULL) + 1
        prefix = rows[0][at:text]
        if prefix in (b"stdout F ", b"stderr F "):
            try:
                whole = [row[text:] if row[at:text] == prefix else _full(row) for row in rows]
            except _NotPlain:
                pass
            else:
                return b"\n".join(whole) + b"\n"
    return _joined_cri(rows, joiner)


def _full(row: bytes) -> bytes:
    """The text of a line that is no piece.

    Raises:
        _NotPlain: it is one, or no CRI line.
    """
    _, tag, text = _parts(row)
    if tag != _FULL:
        raise _NotPlain
    return text


def _parts(row: bytes) -> tuple[bytes, bytes, bytes]:
    """Stream, tag and text of a CRI line.

    Raises:
        _NotPlain: it is none.
    """
    parts = row.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        raise _NotPlain
    _, stream, tags = parts[:3]
    tag = tags.partition(b":")[0]  # others may follow; the first one tells whether it is a piece
    if tag not in (_FULL, _PARTIAL):
        raise _NotPlain
    return stream, tag, parts[3] if len(parts) == 4 else b""


def _joined_cri(rows: list[bytes], joiner: Joiner) -> bytes:
    out: list[bytes] = []
    for row in rows:
        try:
            stream, tag, text = _parts(row)
        except _NotPlain:
            out += row, b"\n"
            continue
        if tag == _PARTIAL:
            joiner.add(stream.decode(), text)
        elif (line := joiner.finish(stream.decode(), text)) is not None:
            out += line, b"\n"
    return b"".join(out)


def docker(lines: bytes, joiner: Joiner) -> bytes:
    """Takes the text out of Docker's JSON objects."""
    if not joiner.open:
        try:
            entries = _docker.decode_lines(lines)
        except (ValueError, RecursionError):
            pass
        else:
            text = "".join([entry.log for entry in entries])
            # As many texts as lines, each with one newline, which is at its end: no piece is there.
            if len(entries) == lines.count(b"\n") == text.count("\n") and all(
                [entry.log.endswith("\n") for entry in entries]  # noqa: C419  (faster than lazily)
            ):
                return text.encode()
    return _joined_docker(lines[:-1].split(b"\n"), joiner)


def _joined_docker(rows: list[bytes], joiner: Joiner) -> bytes:
    out: list[bytes] = []
    for row in rows:
        try:
            entry = _docker.decode(row)
            text = entry.log.encode()
        except (ValueError, RecursionError):
            out += row, b"\n"
            continue
        if not text.endswith(b"\n"):
            joiner.add(entry.stream, text)
        elif (line := joiner.finish(entry.stream, text)) is not None:
            out.append(line)
    return b"".join(out)


_UNWRAP: dict[str, Callable[[bytes, Joiner], bytes]] = {"cri": cri, "docker": docker}
