"""Which files there are: what the globs match, and what stands beside it under a rotated name."""

import fnmatch
import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from exporter.sources.tail.complaints import TRIED_AGAIN, Complaints
from exporter.sources.tail.directory import Listing
from exporter.sources.tail.pattern import Pattern
from exporter.sources.tail.record import FileId
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import STDIN, TailSettings


class State(NamedTuple):
    """Of a file on disk; it stays equal as long as nothing is written to the file."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> "State":
        return cls(info.st_size, info.st_mtime_ns)


class Found(NamedTuple):
    """A regular file.

    Attributes:
        path: without symlinks.
        by_inode: nothing but its inode, which any file may have been given, tells that it is one of
            a log's.
    """

    path: str
    file_id: FileId
    state: State
    by_inode: bool = False


class Awaited(NamedTuple):
    """A log that is configured by its path, whether it is there or not.

    Attributes:
        path: without symlinks.
        directory: device and inode of the directory that it is, or will be, in.
    """

    path: str
    directory: FileId


class _Beside(NamedTuple):
    """What stands beside logs in one directory, rotated from there.

    Attributes:
        lineages: the logs' paths.
    """

    listing: Listing
    lineages: Set[str]
    rotated: Mapping[FileId, Found]


class Discovery:
    """Looks at directories."""

    def __init__(self, settings: TailSettings, complaints: Complaints) -> None:
        self._settings = settings
        self._leaves_out = leaves_out = _exclusion(settings.exclude)
        self._patterns = [Pattern(path, leaves_out) for path in settings.paths if path != STDIN]
        self._complaints = complaints
        self._found: dict[str, Found] = {}
        self._awaited: dict[str, Awaited] = {}
        self._lineages: Set[str] = frozenset()
        self._by_directory: dict[str, set[str]] = {}
        self._beside: dict[str, _Beside] = {}
        self._rotated: dict[FileId, Found] = {}

    def sweep(self, now: float) -> tuple[dict[FileId, Found], list[str]]:
        """The files that the globs match, each once however often it is matched, and the pipes."""
        files: dict[FileId, Found] = {}
        pipes = [STDIN] if STDIN in self._settings.paths else []
        by_path: dict[str, Found] = {}
        for path in self._matches(now):
            info = self._stat(path)
            if info is None:
                continue
            if stat.S_ISFIFO(info.st_mode):
                pipes.append(path)
            elif stat.S_ISREG(info.st_mode):
                found = by_path[path] = self._as_found(path, info)
                files.setdefault(found.file_id, found)
            elif path in self._settings.paths:
                self._complaints.about(
                    path, "read what is no file", "a directory or device", TRIED_AGAIN
                )
        self._found = by_path
        return files, pipes

    def _as_found(self, path: str, info: os.stat_result) -> Found:
        """The same object as at the last look if nothing has changed."""
        file_id, state = (info.st_dev, info.st_ino), State.of(info)
        before = self._found.get(path)
        if before is None or before.file_id != file_id:
            return Found(os.path.realpath(path), file_id, state)
        return before if before.state == state else before._replace(state=state)

    def awaited(self) -> Set[Awaited]:
        """The logs that have a path of their own in the configuration, and a directory."""
        awaited: dict[str, Awaited] = {}
        for pattern in self._patterns:
            if pattern.is_path:
                with suppress(OSError):  # told of by the sweep
                    info = os.stat(pattern.directory or os.curdir)
                    awaited[pattern.text] = self._as_awaited(pattern, (info.st_dev, info.st_ino))
        self._awaited = awaited
        return set(awaited.values())

    def _as_awaited(self, pattern: Pattern, directory: FileId) -> Awaited:
        before = self._awaited.get(pattern.text)
        if before is not None and before.directory == directory:
            return before
        return Awaited(os.path.join(os.path.realpath(pattern.directory), pattern.name), directory)

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
            The same object as long as no directory had to be listed again.
        """
        if lineages != self._lineages:
            self._lineages = frozenset(lineages)
            self._by_directory = defaultdict(set)
            for lineage in lineages:
                self._by_directory[os.path.dirname(lineage)].add(lineage)
        beside: dict[str, _Beside] = {}
        for directory, members in self._by_directory.items():
            with suppress(OSError):  # gone, with all that was in it
                listing = Listing.of(directory, now)
                before = self._beside.get(directory)
                if before and before.lineages == members and before.listing.serves(listing):
                    beside[directory] = before
                else:
                    files = self._files_beside(directory, members, known, matched)
                    beside[directory] = _Beside(listing, members, files)
        if beside != self._beside:
            self._beside = beside
            self._rotated = {
                file_id: found
                for directory in beside.values()
                for file_id, found in directory.rotated.items()
                if file_id not in matched
            }
        return self._rotated

    def _files_beside(
        self,
        directory: str,
        lineages: Set[str],
        known: Callable[[int], Iterable[str]],
        matched: Mapping[FileId, Found],
    ) -> dict[FileId, Found]:
        """The files in a directory that were rotated from one of the paths."""
        files: dict[FileId, Found] = {}
        matched_paths = {found.path for found in matched.values()}
        for entry in os.scandir(directory):
            path = entry.path
            if path in lineages or path in matched_paths:
                continue
            by_inode = lineage_of(path) not in lineages
            if not by_inode or not lineages.isdisjoint(known(entry.inode())):
                if self._leaves_out(path) or entry.is_symlink():
                    continue
                info = self._stat(path)
                if info and stat.S_ISREG(info.st_mode):
                    file_id = info.st_dev, info.st_ino
                    files[file_id] = Found(path, file_id, State.of(info), by_inode)
        return files

    def _matches(self, now: float) -> list[str]:
        paths: set[str] = set()
        troubles: dict[str, OSError | None] = {}
        for pattern in self._patterns:
            troubles.setdefault(pattern.directory, None)
            try:
                paths.update(pattern.matches(now))
            except OSError as error:
                troubles[pattern.directory] = error
        for directory, trouble in troubles.items():
            if trouble:
                self._complaints.about(directory, "look into directory", trouble, TRIED_AGAIN)
            else:
                self._complaints.over(directory, "look into directory")
        return sorted(paths)

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


def stands_at(path: str, file_id: FileId) -> bool:
    """Whether that file is at the path now."""
    try:
        info = os.stat(path)
    except OSError:
        return False
    return (info.st_dev, info.st_ino) == file_id


def _exclusion(globs: Sequence[str]) -> Callable[[str], bool]:
    """Whether one of the globs matches a path, or its name alone."""
    match = re.compile("|".join(map(fnmatch.translate, globs)) or r"(?!)").match

    @lru_cache(maxsize=65_536)
    def leaves_out(path: str) -> bool:
        return bool(match(path) or match(os.path.basename(path)))

    return leaves_out
