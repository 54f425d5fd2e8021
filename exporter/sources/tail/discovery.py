"""Which files there are: what the globs match, and what stands beside it under a rotated name."""

import fnmatch
import glob
import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import NamedTuple

from exporter.sources.tail.complaints import Complaints
from exporter.sources.tail.record import FileId
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import STDIN, TailSettings

TRIED_AGAIN = "tried again at the next look"

ROTATED_INTERVAL_S = 10.0
"""How often rotated files are looked at, to which nobody has reason to write. When one has come,
gone or been renamed the directory tells."""

SETTLED_NS = 2 * 10**9
"""No file system's times are coarser."""


class State(NamedTuple):
    """Of a file on disk; it stays equal as long as nothing is written to the file."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> "State":
        return cls(info.st_size, info.st_mtime_ns)


class Found(NamedTuple):
    """A regular file, at its path without symlinks."""

    path: str
    file_id: FileId
    state: State


class _Directory(NamedTuple):
    """What stood beside logs in one directory.

    Attributes:
        changed_ns: when an entry of the directory was made or removed last; None if that was so
            short a time before the look that another one may have the same time.
        lineages: the logs' paths.
        at: when it was looked at, by the monotonic clock.
        rotated: files that were rotated from there.
    """

    changed_ns: int | None
    lineages: Set[str]
    at: float
    rotated: dict[FileId, Found]

    def holds(self, changed_ns: int, lineages: Set[str], now: float) -> bool:
        """Whether it needs not be looked at again."""
        is_fresh = now - self.at < ROTATED_INTERVAL_S
        return is_fresh and (changed_ns, lineages) == (self.changed_ns, self.lineages)


class Discovery:
    """Looks at directories."""

    def __init__(self, settings: TailSettings, complaints: Complaints) -> None:
        self._globs = [path for path in settings.paths if path != STDIN]
        patterns = [fnmatch.translate(pattern) for pattern in settings.exclude]
        self._excluded = re.compile("|".join(patterns) or r"(?!)").match
        self._complaints = complaints
        self._real: dict[tuple[str, FileId], str] = {}
        self._directories: dict[str, _Directory] = {}
        self._beside_logs: dict[FileId, Found] = {}

    def sweep(self) -> tuple[dict[FileId, Found], list[str]]:
        """The files that the globs match, each once however often it is matched, and the FIFOs."""
        files: dict[FileId, Found] = {}
        fifos: list[str] = []
        real: dict[tuple[str, FileId], str] = {}
        for path in self._matches():
            info = self._stat(path)
            if info is None:
                continue
            if stat.S_ISFIFO(info.st_mode):
                fifos.append(path)
            elif stat.S_ISREG(info.st_mode):
                file_id = info.st_dev, info.st_ino
                place = path, file_id
                real[place] = self._real.get(place) or os.path.realpath(path)
                if file_id not in files:
                    files[file_id] = Found(real[place], file_id, State.of(info))
            elif path in self._globs:
                self._complaints.about(
                    path, "read what is no file", "a directory or device", TRIED_AGAIN
                )
        self._real = real
        return files, fifos

    def rotated(
        self,
        lineages: Set[str],
        known: Callable[[int], Iterable[str]],
        matched: Mapping[FileId, Found],
        now: float,
    ) -> dict[FileId, Found]:
        """Files that no glob matches, beside the logs from which they were rotated.

        Args:
            lineages: the logs' paths.
            known: the paths that files of an inode have had, for those that were given a name
                which tells nothing.
            matched: what the globs match.

        Returns:
            The same object as long as there is no change.
        """
        by_directory: dict[str, set[str]] = defaultdict(set)
        for lineage in lineages:
            by_directory[os.path.dirname(lineage)].add(lineage)
        matched_paths = {found.path for found in matched.values()}
        directories: dict[str, _Directory] = {}
        for path, members in by_directory.items():
            with suppress(OSError):  # gone, with all that was in it
                changed_ns, begun_ns = os.stat(path).st_mtime_ns, time.time_ns()
                directory = self._directories.get(path)
                if directory is None or not directory.holds(changed_ns, members, now):
                    files = self._beside(path, members, known, matched_paths)
                    settled = begun_ns - changed_ns > SETTLED_NS
                    directory = _Directory(changed_ns if settled else None, members, now, files)
                directories[path] = directory
        if directories != self._directories:
            self._directories = directories
            self._beside_logs = {
                file_id: found
                for directory in directories.values()
                for file_id, found in directory.rotated.items()
                if file_id not in matched
            }
        return self._beside_logs

    def _beside(
        self,
        directory: str,
        lineages: Set[str],
        known: Callable[[int], Iterable[str]],
        matched_paths: Set[str],
    ) -> dict[FileId, Found]:
        """The files in a directory that were rotated from one of the paths."""
        files: dict[FileId, Found] = {}
        for entry in os.scandir(directory):
            path = entry.path
            if path in lineages or path in matched_paths:
                continue
            if lineage_of(path) in lineages or not lineages.isdisjoint(known(entry.inode())):
                if self._leaves_out(path) or entry.is_symlink():
                    continue
                info = self._stat(path)
                if info and stat.S_ISREG(info.st_mode):
                    file_id = info.st_dev, info.st_ino
                    files[file_id] = Found(path, file_id, State.of(info))
        return files

    def _matches(self) -> list[str]:
        paths: set[str] = set()
        for pattern in self._globs:
            matches = glob.glob(pattern, recursive=True)
            self._check_directory(pattern, matches)
            paths.update(matches)
        return sorted(path for path in paths if not self._leaves_out(path))

    def _leaves_out(self, path: str) -> bool:
        return bool(self._excluded(path) or self._excluded(os.path.basename(path)))

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            info = os.stat(path)
        except FileNotFoundError:  # renamed a moment ago, or a symlink to what isn't there yet
            return None
        except OSError as error:
            self._complaints.about(path, "look at file", error, TRIED_AGAIN)
            return None
        self._complaints.over(path, "look at file")
        return info

    def _check_directory(self, pattern: str, matches: Sequence[str]) -> None:
        """Say why a glob matches nothing, where its directory is the reason."""
        directory = pattern
        while glob.has_magic(directory) or directory == pattern:
            directory = os.path.dirname(directory)
        try:
            if not matches:
                os.scandir(directory or ".").close()
        except OSError as error:
            self._complaints.about(directory, "look into directory", error, TRIED_AGAIN)
        else:
            self._complaints.over(directory, "look into directory")
