"""All that a source remembers, found again by inode or by content."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from exporter.sources.tail.content import Content, last_bytes
from exporter.sources.tail.fingerprint import NOTHING, WINDOW, Mark, digest, mark
from exporter.sources.tail.record import VERSION, FileId, FileRecord, decode, encode

STARTED = "started"
"""The key that says that this source has looked at its files before."""

MOST_RECORDS = 20_000
"""Some 50 MB. Beyond those of the files seen last, records of files that are gone go soon."""


class Records:
    """The records of one source, and which of them are not stored yet as they are now.

    Raises:
        StateError: a stored value can't be decoded.
    """

    def __init__(self, known: Mapping[str, bytes]) -> None:
        self.had_started = bool(known)
        self._by_serial: dict[int, FileRecord] = {}
        self._by_inode: dict[int, list[FileRecord]] = {}
        self._lineages: Counter[str] = Counter()
        self._by_head: dict[tuple[int, bytes], dict[int, FileRecord]] = {}
        self._head_lengths: Counter[int] = Counter()
        self._unsaved: set[str] = set() if STARTED in known else {STARTED}
        self._reported: set[str] = set()
        for key, value in known.items():
            if key != STARTED:
                self._insert(decode(key, value))
        self._next_serial = max(self._by_serial, default=0) + 1

    def __len__(self) -> int:
        return len(self._by_serial)

    def add(self, path: str, lineage: str, met: float, file_id: FileId) -> FileRecord:
        """A new record of a file of which nothing is counted."""
        record = FileRecord(VERSION, self._next_serial, path, lineage, met, *file_id, seen=met)
        self._next_serial += 1
        self._insert(record)
        self.changed(record)
        return record

    def changed(self, record: FileRecord) -> None:
        """The record must be stored again."""
        self._unsaved.add(record.key)

    def forget(self, record: FileRecord) -> None:
        """The record is of no use any more."""
        del self._by_serial[record.serial]
        self._leave_id(record)
        self._lineages[record.lineage] -= 1
        if not self._lineages[record.lineage]:
            del self._lineages[record.lineage]
        self._leave_head(record)
        self.changed(record)

    def orphan(self, record: FileRecord) -> None:
        """The content is no longer in the file."""
        self._leave_id(record)
        record.orphan = True
        self.changed(record)

    def rebind(self, record: FileRecord, path: str, file_id: FileId) -> None:
        """The content stands in another file now."""
        self._leave_id(record)
        record.path, (record.device, record.inode), record.orphan = path, file_id, False
        self._enter_id(record)
        self.changed(record)

    def set_head(self, record: FileRecord, head: Mark) -> None:
        """The mark over the first bytes has grown."""
        self._leave_head(record)
        record.head = head
        self._enter_head(record)
        self.changed(record)

    def place(
        self, record: FileRecord, content: Content, position: int, skipping: bool = False
    ) -> None:
        """Count the content up to `position`, and no more than that.

        Raises:
            Replaced: it has become shorter.
        """
        record.mark = mark(position, last_bytes(content, position))
        record.position, record.skipping = position, skipping
        record.marks = [earlier for earlier in record.marks if earlier.position < position]
        record.pending = {}
        first = content.at(0, min(position, WINDOW) if position else WINDOW)
        self.set_head(record, mark(len(first), first) if first else NOTHING)

    def at(self, file_id: FileId) -> list[FileRecord]:
        """Records of that file, the one seen last first."""
        found = [each for each in self.with_inode(file_id[1]) if each.file_id == file_id]
        return sorted(found, key=lambda record: (record.seen, record.serial), reverse=True)

    def paths_of(self, inode: int) -> Iterator[str]:
        """The paths at which files of that inode have stood."""
        return (record.lineage for record in self.with_inode(inode))

    def with_inode(self, inode: int) -> Sequence[FileRecord]:
        """Records of files of that inode, on whatever device: its number changes at a remount."""
        return self._by_inode.get(inode, ())

    def lineages(self) -> Set[str]:
        """The paths at which files have stood of which there is a record."""
        return self._lineages.keys()

    def alike(self, content: Content) -> list[FileRecord]:
        """Records whose first bytes are those of the content."""
        first = content.at(0, WINDOW)
        found: list[FileRecord] = []
        for length in self._head_lengths:
            if length <= len(first):
                found += self._by_head.get((length, digest(first[:length])), {}).values()
        return found

    def prune(self, long_ago: float, lately: float, is_there: Callable[[FileRecord], bool]) -> int:
        """Forget files that were last seen long ago, unless they are there.

        Args:
            lately: where there are more than `MOST_RECORDS`, those beyond them are forgotten too,
                unless they were seen since then: a file system may be away for a while.

        Returns:
            How many unfinished records of containers are forgotten with them.
        """
        pieces = 0
        beyond = len(self) - MOST_RECORDS
        by_age = sorted(self._by_serial.values(), key=lambda record: record.seen)
        for number, record in enumerate(by_age):
            if record.seen >= (lately if number < beyond else long_ago):
                break
            if not is_there(record):
                pieces += len(record.pending)
                self.forget(record)
        return pieces

    def changes(self) -> dict[str, bytes | None]:
        """What to store, by key; None for what is forgotten."""
        self._reported |= self._unsaved
        self._unsaved.clear()
        return {key: self._value(key) for key in sorted(self._reported)}

    def committed(self) -> None:
        """What `changes` returned last is stored."""
        self._reported.clear()

    def _value(self, key: str) -> bytes | None:
        if key == STARTED:
            return encode(VERSION)
        record = self._by_serial.get(int(key))
        return None if record is None else encode(record)

    def _insert(self, record: FileRecord) -> None:
        self._by_serial[record.serial] = record
        if not record.orphan:
            self._enter_id(record)
        self._lineages[record.lineage] += 1
        self._enter_head(record)

    def _enter_id(self, record: FileRecord) -> None:
        self._by_inode.setdefault(record.inode, []).append(record)

    def _leave_id(self, record: FileRecord) -> None:
        if not record.orphan:
            at = self._by_inode[record.inode]
            at.remove(record)
            if not at:
                del self._by_inode[record.inode]

    def _enter_head(self, record: FileRecord) -> None:
        if record.head != NOTHING:
            self._by_head.setdefault(_head_key(record), {})[record.serial] = record
            self._head_lengths[record.head.length] += 1

    def _leave_head(self, record: FileRecord) -> None:
        if record.head != NOTHING:
            alike = self._by_head[_head_key(record)]
            del alike[record.serial]
            if not alike:
                del self._by_head[_head_key(record)]
            self._head_lengths[record.head.length] -= 1
            if not self._head_lengths[record.head.length]:
                del self._head_lengths[record.head.length]


def _head_key(record: FileRecord) -> tuple[int, bytes]:
    return record.head.length, record.head.digest
