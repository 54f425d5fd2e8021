"""A file system that keeps of SQLite's files what it was told to make durable, and no more."""

import subprocess
from pathlib import Path
from types import TracebackType

import apsw


class LosingPower:
    """While it is in force, `kept` holds the files as a loss of power would leave them.

    It sees what is opened from then on. A file's content is that of its last sync; one that was
    never synced has its content of the beginning. Real disks may have
    written more, in any order; SQLite's checksums are for that.
    """

    def __init__(self, directory: Path, kept: Path) -> None:
        self.directory = directory.resolve()
        self.kept = kept

    def __enter__(self) -> "LosingPower":
        subprocess.run(["cp", "-a", self.directory, self.kept], check=True)
        self.default = apsw.vfs_names()[0]
        self._file_system = _FileSystem(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        apsw.set_default_vfs(self.default)
        self._file_system.unregister()

    def keep(self, path: Path, content: bytes) -> None:
        if path.is_relative_to(self.directory):
            kept = self.kept / path.relative_to(self.directory)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)


class _FileSystem(apsw.VFS):
    def __init__(self, power: LosingPower) -> None:
        super().__init__("losing-power", power.default, makedefault=True)
        self._power = power

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> "_File":
        return _File(name, flags, self._power)


class _File(apsw.VFSFile):
    def __init__(
        self, name: str | apsw.URIFilename | None, flags: list[int], power: LosingPower
    ) -> None:
        super().__init__(power.default, name, flags)
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._power = power

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        if self._path:
            self._power.keep(Path(self._path), self.xRead(self.xFileSize(), 0))
