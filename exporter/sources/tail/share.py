"""Which files of a source are read by this process, where several processes share them."""

from collections.abc import Mapping
from typing import Protocol

from exporter.sources.tail.discovery import Found
from exporter.sources.tail.record import FileId


class Share(Protocol):
    """A process's part of what the globs match; no file is in two parts."""

    @property
    def has_pipes(self) -> bool:
        """Whether standard input and FIFOs are in it."""

    @property
    def is_whole(self) -> bool:
        """Whether no other process has a part."""

    def of(self, files: Mapping[FileId, Found]) -> Mapping[FileId, Found]:
        """Those of the files that are in it; called with all of them at each look."""


class Whole:
    """The share of a process that has no others beside it."""

    has_pipes = is_whole = True

    def of(self, files: Mapping[FileId, Found]) -> Mapping[FileId, Found]:
        """All of them."""
        return files


WHOLE = Whole()
