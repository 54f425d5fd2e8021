"""Looking for what was rotated to where no glob matches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from exporter.sources.tail.discovery import Discovery, Found
from exporter.sources.tail.record import FileId, FileRecord
from exporter.sources.tail.records import Records
from exporter.sources.tail.roster import Roster
from exporter.sources.tail.rotation import is_newer


@dataclass(frozen=True, slots=True)
class Search:
    """For files that left a path since it was looked at last.

    Attributes:
        path: that they have left.
        since_ns: last change of what stood there at that look; None where that stands there still,
            so that only files are looked for of which something is known.
        file_id: of what stood there at that look.
        until: when nothing more is expected, by the monotonic clock.
        reference: where that file is now, if it was found.
    """

    path: str
    since_ns: int | None
    file_id: FileId | None
    until: float
    reference: str = ""

    def is_for(self, found: Found) -> bool:
        """Whether a file of which nothing is known stood at the path after that look.

        Older ones were there before the source ran: no glob matches them, so nobody wants them.
        """
        if self.since_ns is None or found.state.modified_ns < self.since_ns:
            return False
        is_it = self.reference in ("", found.path)
        return is_it or is_newer(found.path, self.reference) is not False


class Searches:
    """The searches under way, each for a while after a file has left its path.

    Attributes:
        is_due: there is one for which nothing was looked at yet.
    """

    def __init__(self, records: Records, roster: Roster, discovery: Discovery) -> None:
        self._records = records
        self._roster = roster
        self._discovery = discovery
        self._searches: dict[str, Search] = {}
        self._refused: set[FileId] = set()
        self.is_due = False

    def begin(
        self, path: str, until: float, since_ns: int | None, file_id: FileId | None = None
    ) -> None:
        """Search for what stood at the path; a search under way goes on, with the wider limits."""
        under_way = self._searches.get(path)
        if under_way and under_way.since_ns is not None:
            if since_ns is None or under_way.since_ns < since_ns:
                since_ns, file_id = under_way.since_ns, under_way.file_id
            until = max(until, under_way.until)
        search = Search(path, since_ns, file_id, until)
        if search != under_way:
            self._searches[path] = search
            self._refused.clear()
            self.is_due = True

    def expire(self, now: float) -> None:
        """End the searches whose time is over; the others are due again."""
        self._searches = {path: one for path, one in self._searches.items() if one.until >= now}
        self.is_due = bool(self._searches)
        if not self._searches:
            self._refused.clear()

    def begin_after(self, last: FileRecord, until: float, *, is_place_known: bool = True) -> None:
        """Search for what stood where the record's content did, and came after it.

        Args:
            is_place_known: newer files have newer names than the record's file now has.
        """
        place = last.file_id if is_place_known and not last.orphan else None
        self.begin(last.lineage, until, last.modified_ns, place)

    def begin_for_all(self, until: float) -> None:
        """Search for all that is not where it was: it may have been rotated while nobody looked."""
        paths = {each.lineage for each in self._records if not self._roster.follows(each)}
        for path in paths - self._searches.keys():
            self.begin_at(path, until)

    def begin_at(self, path: str, until: float) -> None:
        """Search for what stood at the path after the last file of which there is a record."""
        records = self._records.of(path)
        if not records:
            return
        at_path = [each for each in records if each.path == path]
        last = max(at_path or records, key=lambda each: (each.modified_ns, each.serial))
        if self._roster.is_at(path, last):
            self.begin(path, until, None)
        else:
            self.begin_after(last, until)

    def prolong(self, search: Search, until: float) -> None:
        """Search on, for a file was found that couldn't be opened."""
        self._searches[search.path] = replace(search, until=until)

    def refuse(self, found: Found, search: Search) -> None:
        """The file isn't one that was searched for, unless a new search has begun meanwhile."""
        now = self._searches.get(search.path, search)
        if (now.since_ns, now.file_id) == (search.since_ns, search.file_id):
            self._refused.add(found.file_id)

    def find(self) -> Iterator[tuple[Found, Search]]:
        """Files with rotated names, or with the inode of a file that is missing."""
        self.is_due = False
        wanted = {
            path: {each.file_id for each in self._records.of(path) if not each.orphan}
            for path in self._searches
        }
        relatives = list(self._discovery.relatives(wanted))
        paths = {found.file_id: found.path for _, found in relatives}
        for path, found in relatives:
            self._roster.was_renamed(found)
            if found.file_id not in self._roster.files and found.file_id not in self._refused:
                search = self._searches[path]
                place = paths.get(search.file_id, "") if search.file_id else ""
                yield found, replace(search, reference=place)
