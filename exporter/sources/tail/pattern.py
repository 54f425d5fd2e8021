"""One of the configured globs, and what it matches."""

import fnmatch
import glob
import os
from collections.abc import Callable, Iterable, Sequence

from exporter.sources.tail.directory import Listing


class Pattern:
    """A glob, in which ** crosses directories, or a plain path.

    Args:
        leaves_out: whether a path is excluded.

    Attributes:
        directory: all that it matches is somewhere in there.
        name: what follows the last slash.
        is_path: it names one file.
    """

    def __init__(self, text: str, leaves_out: Callable[[str], bool]) -> None:
        self.text = text
        self.is_path = not glob.has_magic(text)
        self.directory, self.name = os.path.split(text)
        self._is_in_one_directory = (
            glob.has_magic(self.name) and not glob.has_magic(self.directory) and self.name != "**"
        )
        while glob.has_magic(self.directory):
            self.directory = os.path.dirname(self.directory)
        self._leaves_out = leaves_out
        self._listing: Listing | None = None
        self._paths: Sequence[str] = ()

    def matches(self, now: float) -> Sequence[str]:
        """The paths that are there, without those that are excluded.

        Raises:
            OSError: the directory can't be listed.
        """
        if self._is_in_one_directory:
            listing = Listing.of(self.directory or os.curdir, now)
            if self._listing is None or not self._listing.serves(listing):
                self._paths = self._kept(self._listed())
                self._listing = listing
            return self._paths
        paths = glob.glob(self.text, recursive=True)
        if not paths:
            os.scandir(self.directory or os.curdir).close()
        return self._kept(paths)

    def _listed(self) -> list[str]:
        """As `glob` does, which takes a directory that can't be listed for an empty one."""
        names = fnmatch.filter(os.listdir(self.directory or os.curdir), self.name)
        if not self.name.startswith("."):
            names = [name for name in names if not name.startswith(".")]
        return [os.path.join(self.directory, name) for name in names]

    def _kept(self, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if not self._leaves_out(path)]
