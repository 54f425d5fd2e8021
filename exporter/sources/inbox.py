"""From event loops to the pipeline's thread: what arrived, until the pipeline takes it.

Inboxes outlive the pipelines that empty them, so that a change of the configuration loses nothing.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from exporter.formats.compile import Decoded
from exporter.record import Batch, Kinds, Record

MOST_RECORDS = 100_000
"""Records that wait for a commit, some 50 MiB; more are counted as lost, for traffic must flow."""

MOST_PUSHED_BYTES = 64 << 20
"""Of pushes that wait for their commit; more are refused until there is room."""

RECORDS_A_BATCH = 4096

T = TypeVar("T")

Attributes: TypeAlias = tuple[str, ...]
"""Names of extra attributes, in the order of the records' values."""


class Inbox(Generic[T]):
    """A bounded queue, filled by any thread and emptied by one.

    Args:
        capacity: of all items together, in the unit of their sizes.
        arrived: is set for each item that somebody waits for.
    """

    def __init__(self, capacity: int, arrived: threading.Event) -> None:
        self._capacity = capacity
        self._arrived = arrived
        self._items: deque[tuple[T, int]] = deque()
        self._lock = threading.Lock()
        self.size = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, item: T, size: int = 1, *, urgent: bool = False) -> bool:
        """Put an item in; False where there is no room.

        One that is larger than the whole capacity is let in alone.
        """
        with self._lock:
            if self._items and self.size + size > self._capacity:
                return False
            self._items.append((item, size))
            self.size += size
        if urgent:
            self._arrived.set()
        return True

    def take(self, most: int) -> list[T]:
        """The oldest items, `most` of them at most, which are in it no longer."""
        with self._lock:
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self.size -= sum(size for _, size in taken)
        return [item for item, _ in taken]


class Inboxes:
    """The inbox of each source that has one, by its name; it is made when it is first asked for.

    Attributes:
        arrived: set when something came that somebody waits for.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._records: dict[tuple[str, Attributes], Inbox[Record]] = {}
        self._pushes: dict[str, Inbox[Any]] = {}

    def of_records(self, source: str, attributes: Attributes) -> Inbox[Record]:
        """What a proxy has watched, with these attributes."""
        return self._records.setdefault((source, attributes), Inbox(MOST_RECORDS, self.arrived))

    def of_pushes(self, source: str) -> Inbox[Any]:
        """What came through the push door."""
        return self._pushes.setdefault(source, Inbox(MOST_PUSHED_BYTES, self.arrived))

    def watched(self) -> list[tuple[str, Attributes, Inbox[Record]]]:
        """All inboxes of records, those too of what is configured no longer or otherwise.

        A proxy's last requests end when they end, which may be after the configuration has changed.
        """
        return [(source, names, inbox) for (source, names), inbox in list(self._records.items())]


class RecordSource:
    """A source whose requests were watched, not read of: their records come through an inbox.

    There is nothing to read again, so there are no positions: what was not committed when a process
    is killed is lost.

    Args:
        watched: names of the attributes that records in the inbox have.
        wanted: names of those that they are to have now.
    """

    def __init__(
        self,
        name: str,
        inbox: Inbox[Record],
        kinds: Kinds,
        watched: Attributes = (),
        wanted: Attributes = (),
    ) -> None:
        self.name = name
        self._inbox = inbox
        self._kinds = kinds
        self._watched = watched
        self._wanted = wanted

    def read(self, budget: int) -> Iterator[Decoded]:
        """All that is in the inbox; it is bounded."""
        while records := self._inbox.take(RECORDS_A_BATCH):
            if self._watched != self._wanted or not all(map(self._is_sound, records)):
                records = list(map(self._fitted, records))
            yield Decoded(Batch.of(self._kinds, records), len(records), 0, Counter())

    def _is_sound(self, record: Record) -> bool:
        """A task that began under another configuration may have other attributes."""
        return len(record.kind.attributes) == len(self._watched)

    def _fitted(self, record: Record) -> Record:
        known: dict[str, str] = {}
        if self._is_sound(record):
            known = dict(zip(self._watched, record.kind.attributes, strict=True))
        attributes = tuple(known.get(name, "") for name in self._wanted)
        return record._replace(kind=record.kind._replace(attributes=attributes))

    def positions(self) -> Mapping[str, bytes | None]:
        """None."""
        return {}

    def committed(self) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """It holds nothing open."""
