"""Which files there are: what the globs match, and what stands beside it under a rotated name."""

import fnmatch
import glob
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from exporter.sources.tail.complaints import Complaints
from exporter.sources.tail.record import FileId
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import STDIN, TailSettings

TRIED_AGAIN = "tried again at the next look"


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


class Discovery:
    """Looks at directories."""

    def __init__(self, settings: TailSettings, complaints: Complaints) -> None:
        self._globs = [path for path in settings.paths if path != STDIN]
        patterns = [fnmatch.translate(pattern) for pattern in settings.exclude]
        self._excluded = re.compile("|".join(patterns) or r"(?!)").match
        self._complaints = complaints
        self._real: dict[tuple[str, FileId], str] = {}

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

    def relatives(self, lineages: Mapping[str, set[FileId]]) -> Iterator[tuple[str, Found]]:
        """Files in the directories of the lineages that were rotated from there.

        Args:
            lineages: the paths that files had before, with the files that are looked for under
                whatever name.
        """
        by_directory: dict[str, list[str]] = defaultdict(list)
        for lineage in lineages:
            by_directory[os.path.dirname(lineage)].append(lineage)
        for directory, members in by_directory.items():
            wanted = {inode: lineage for lineage in members for _, inode in lineages[lineage]}
            try:
                entries = list(os.scandir(directory))
            except OSError:  # gone, with all that was in it
                continue
            for entry in entries:
                lineage = lineage_of(entry.path)
                if lineage not in lineages:
                    lineage = wanted.get(entry.inode(), "")
                if lineage and entry.path != lineage and not self._leaves_out(entry.path):
                    info = self._stat(entry.path)
                    if info and stat.S_ISREG(info.st_mode) and not entry.is_symlink():
                        found = Found(entry.path, (info.st_dev, info.st_ino), State.of(info))
                        yield lineage, found

    def _matches(self) -> list[str]:
        paths: set[str] = set()
        for pattern in self._globs:
            matches = glob.glob(pattern, recursive=True)
            if not matches:
                self._look_for_directory(pattern)
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

    def _look_for_directory(self, pattern: str) -> None:
        """Say why a glob matches nothing, where its directory is the reason."""
        directory = pattern
        while glob.has_magic(directory) or directory == pattern:
            directory = os.path.dirname(directory)
        try:
            os.scandir(directory or ".").close()
        except OSError as error:
            self._complaints.about(directory, "look into directory", error, TRIED_AGAIN)
        else:
            self._complaints.over(directory, "look into directory")
