"""A file system under whose writer the process ends, before any given step."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw

KILLED = 9


class Steps:
    """Counts what is about to be done to files, and ends the process without a farewell.

    Args:
        last: the process ends before this step.

    Attributes:
        taken: what was done, in order.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self.taken: list[str] = []

    def take(self, what: str) -> None:
        """Do it, as far as this is about it; the process may end here.

        Writes in a row are one step: what is written counts from the sync on.
        """
        if what == "write" and self.taken[-1:] == ["write"]:
            return
        if len(self.taken) + 1 == self._last:
            os._exit(KILLED)
        self.taken.append(what)


class DyingFileSystem(apsw.VFS):
    """All that SQLite writes is a step; that Python deletes files too, for good."""

    def __init__(self, steps: Steps) -> None:
        self.default = apsw.vfs_names()[0]
        super().__init__("dying", self.default, makedefault=True)
        self.steps = steps
        unlink = Path.unlink

        def dying_unlink(path: Path, missing_ok: bool = False) -> None:
            steps.take("unlink")
            unlink(path, missing_ok)

        Path.unlink = dying_unlink  # type: ignore[method-assign, assignment]

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> "_File":
        self.steps.take("open")
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.steps.take("delete")
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(
        self, system: DyingFileSystem, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(system.default, name, flags)
        self._take: Callable[[str], None] = system.steps.take

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._take("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._take("sync")
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._take("truncate")
        super().xTruncate(newsize)
