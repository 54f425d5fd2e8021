"""What is remembered of a file, across restarts."""

import msgspec

from exporter.errors import StateError
from exporter.sources.tail.fingerprint import NOTHING, Mark

VERSION = 1

DISCARDING = -1
"""Stands in `FileRecord.pending` for a record that is too long: it is dropped up to its end."""

FileId = tuple[int, int]
"""Device and inode."""


class FileRecord(msgspec.Struct, eq=False, array_like=True):
    """How far a file is counted, and what it is known again by.

    Attributes:
        version: of this layout.
        serial: names the record; later ones are greater.
        path: where the file was last seen, symlinks resolved.
        lineage: the path that files of one log have in turn while they are written.
        met: time of day of the look at which it was met.
        device, inode: of the file; of an orphan: where its content stood once.
        orphan: the content is no longer in that file; a copy of it may turn up.
        modified_ns: the file's time of last change, when the content was last seen to be there.
        seen: time of day when it was last there.
        position: bytes counted, decompressed; at the start of a line unless `skipping`.
        head: mark over the first bytes, up to `position`; while that is 0, over what there was.
        mark: mark at `position`.
        marks: earlier ones, each at the start of a line, ascending.
        skipping: the position is inside a line that is too long or was cut.
        gzip: the content is compressed.
        finished: the whole of a gzip file was read, or as much of it as is not broken.
        disk_size: compressed size of a finished file.
        pending: for each stream in a container's log the position from which on its unfinished
            record's pieces are found, or `DISCARDING`.
    """

    version: int
    serial: int
    path: str
    lineage: str
    met: float
    device: int
    inode: int
    orphan: bool = False
    modified_ns: int = 0
    seen: float = 0.0
    position: int = 0
    head: Mark = NOTHING
    mark: Mark = NOTHING
    marks: list[Mark] = []
    skipping: bool = False
    gzip: bool = False
    finished: bool = False
    disk_size: int = 0
    pending: dict[str, int] = {}

    @property
    def key(self) -> str:
        return f"{self.serial:010d}"

    @property
    def file_id(self) -> FileId:
        return self.device, self.inode


_decoder = msgspec.msgpack.Decoder(FileRecord)
encode = msgspec.msgpack.Encoder().encode


def decode(key: str, value: bytes) -> FileRecord:
    """The record stored under `key`.

    Raises:
        StateError: it is damaged, or of a version that this program doesn't know.
    """
    try:
        record = _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise StateError(f"the stored position {key!r} can't be decoded: {error}") from error
    if record.version != VERSION or record.key != key:
        raise StateError(
            f"the stored position {key!r} is of version {record.version}, record {record.key!r}; "
            f"this program knows version {VERSION}"
        )
    return record
