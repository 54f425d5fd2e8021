"""Where requests are learnt of: a source yields whole lines, and says up to where it has read.

One that has no lines, or lines of several formats, yields what it has decoded itself.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from exporter.formats.compile import Decoded


class Source(Protocol):
    """Called by one thread only: `read`, then `positions`, a commit of both, then `committed`.

    Where a commit fails, it is tried again with the same positions before anything more is read;
    meanwhile it is read with a budget of 0.
    """

    @property
    def name(self) -> str:
        """As the configuration calls it."""

    def read(self, budget: int) -> Iterator[bytes | Decoded]:
        """What is there to read, about `budget` bytes at most; never waits for more.

        With a budget of 0 nothing is read; what must not be held for ever is let go of.

        Lines come in blocks, without an envelope, each line ended by a newline.
        """

    def positions(self) -> Mapping[str, bytes | None]:
        """What must become durable together with all that was yielded so far.

        Returns:
            An opaque value for each key that changed since the last commit; None: forget the key.
        """

    def committed(self) -> None:
        """The positions are durable now."""

    def close(self) -> None:
        """Let go of files."""
