"""What a tail source is told."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

STDIN = "-"
"""The path that means standard input."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TailSettings:
    """Which files to read, and how.

    Attributes:
        paths: globs, in which ** crosses directories; "-" is standard input.
        exclude: globs of files to leave out, by whole path or by name alone.
        start: where to begin in files that are there at this source's first look ever.
        max_line_bytes: longer lines are skipped and counted.
        rotated_wait_s: how long a file that was rotated or deleted is read after it last grew.
        unlinked_limit_s: how long a deleted file with unread bytes is held while none are read.
        discover_interval_s: between two looks at directories.
        max_open: files open at once; those beyond it take turns.
        forget_after_s: how long a file that is gone is remembered.
        copy_grace_s: how long a file that equals another one is taken for a copy in the making.
        envelope: what a container runtime has put around each line; "auto" looks at the lines.
    """

    paths: tuple[str, ...]
    exclude: tuple[str, ...] = ("*.tmp",)
    start: Literal["beginning", "end"] = "beginning"
    max_line_bytes: int = 1 << 20
    rotated_wait_s: float = 60.0
    unlinked_limit_s: float = 3600.0
    discover_interval_s: float = 1.0
    max_open: int = 1024
    forget_after_s: float = 14 * DAY_S
    copy_grace_s: float = 5.0
    envelope: Literal["auto", "none", "cri", "docker"] = "auto"


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks in seconds: one that never steps, and the time of day since 1970."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
