"""What the names of rotated files tell: whose they are, and in which order they were rotated.

Known are logrotate's names (`app.log.1`, `app.log-20260101`, `app.log-1767225600`), the kubelet's
(`0.log.20260101-112911`), those of Python's loggers (`app.log.2026-01-01_11-29-11`) and of Go's
lumberjack (`app-2026-01-01T11-29-11.123.log`), each also with `.gz` at its end.
"""

import re
from functools import lru_cache

_NAME = re.compile(
    r"""(?P<base>.+?)
    (?: \.(?P<index>\d{1,3})
      | [-._](?P<stamp>\d{4}[-_.]?\d\d[-_.]?\d\d[\dTZ:._-]*)
      | -(?P<moment>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})(?P<extension>\.[^./]+)
    )?
    (?:\.gz)?""",
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=65_536)
def lineage_of(path: str) -> str:
    """The path that a file had before it was rotated, as far as its name tells."""
    match = _NAME.fullmatch(path)
    return match["base"] + (match["extension"] or "") if match else path


def age(path: str) -> tuple[bool, int, str]:
    """Sorts the names of one lineage's files, the oldest first and the unrotated last."""
    match = _NAME.fullmatch(path)
    index, stamp = (match["index"], match["stamp"] or match["moment"]) if match else (None, None)
    return index is None and stamp is None, -int(index or 0), stamp or ""
