"""What must not reach a decoder: NULs that a truncation left, and lines that are too long."""

import re

from exporter.sources.tail.metrics import SourceMetrics

_NULS = re.compile(rb"^\0+", re.MULTILINE)


def fit(lines: bytes, limit: int, metrics: SourceMetrics) -> bytes:
    """Whole lines without what must not reach a decoder, which is counted."""
    kept = without_nuls(lines)
    metrics.nul_bytes.inc(len(lines) - len(kept))
    if len(kept) > limit:
        kept, dropped = without_overlong(kept, limit)
        metrics.lines_too_long.inc(dropped)
    return kept


def without_nuls(lines: bytes) -> bytes:
    """The lines without NULs at their start."""
    if lines.find(b"\0") < 0:
        return lines
    return _NULS.sub(b"", lines)


def without_overlong(lines: bytes, limit: int) -> tuple[bytes, int]:
    """The lines of at most `limit` bytes, and how many longer ones were left out.

    It looks for a newline every `limit` bytes, not at each line.
    """
    kept: list[slice] = []
    start = dropped = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + limit + 1) + 1
        if end:
            kept.append(slice(start, end))
        else:
            dropped += 1
            end = lines.index(b"\n", start) + 1
        start = end
    return (b"".join([lines[part] for part in kept]), dropped) if dropped else (lines, 0)
