"""Whether a directory has to be listed again: it tells itself when an entry has come or gone."""

import os
import time
from typing import NamedTuple, Self

RELISTED_AFTER_S = 10.0
"""How often a directory is listed that does not seem to have changed: not each file system tells.
With it the rotated files are looked at, to which nobody has reason to write."""

SETTLED_S = 2.0
"""No file system's times are coarser."""


class Listing(NamedTuple):
    """What a list of a directory's entries was made of.

    Attributes:
        changed_ns: when an entry was made or removed last; None if that was so short a time before
            that another one may have the same time.
        at: when it was made, by the monotonic clock.
    """

    changed_ns: int | None
    at: float

    @classmethod
    def of(cls, directory: str, now: float) -> Self:
        """Of a list that is made after this.

        Raises:
            OSError: the directory is not there.
        """
        changed_ns, begun_ns = os.stat(directory).st_mtime_ns, time.time_ns()
        return cls(changed_ns if begun_ns - changed_ns > SETTLED_S * 1e9 else None, now)

    def serves(self, later: "Listing") -> bool:
        """Whether one that is made later would hold the same."""
        is_fresh = later.at - self.at < RELISTED_AFTER_S
        return is_fresh and later.changed_ns is not None and later.changed_ns == self.changed_ns
