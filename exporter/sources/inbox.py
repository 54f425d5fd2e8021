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
    """The inboxes of each source that has some, by its name; made when they are first asked for.

    Attributes:
        arrived: set when something came that somebody waits for.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._records: dict[str, dict[Attributes, Inbox[Record]]] = {}
        self._pushes: dict[str, Inbox[Any]] = {}

    def of_records(self, source: str, attributes: Attributes) -> Inbox[Record]:
        """For what a proxy watches, as long as its records have these attributes."""
        of_source = self._records.setdefault(source, {})
        return of_source.setdefault(attributes, Inbox(MOST_RECORDS, self.arrived))

    def of_pushes(self, source: str) -> Inbox[Any]:
        """For what comes through the push door."""
        return self._pushes.setdefault(source, Inbox(MOST_PUSHED_BYTES, self.arrived))

    def watched(self) -> list[str]:
        """Sources with records, those too that are no longer configured.

        A proxy's last requests end when they end, which may be after the configuration has changed.
        """
        return list(self._records)

    def records(self, source: str) -> list[tuple[Attributes, Inbox[Record]]]:
        """What was watched for a source, by the attributes that it has."""
        return list(self._records.get(source, {}).items())


class RecordSource:
    """A source whose requests were watched, not read of: their records come through inboxes.

    There is nothing to read again, so there are no positions: what was not committed when a process
    is killed is lost.

    Args:
        attributes: names of those that records are to have. One from before a change of the
            configuration keeps what still has its name.
    """

    def __init__(
        self, name: str, inboxes: Inboxes, kinds: Kinds, attributes: Attributes = ()
    ) -> None:
        self.name = name
        self._inboxes = inboxes
        self._kinds = kinds
        self._attributes = attributes

    def read(self, budget: int) -> Iterator[Decoded]:
        """All that is in the inboxes, for they are bounded; nothing if the budget is 0."""
        for names, inbox in self._inboxes.records(self.name) if budget else ():
            while records := inbox.take(RECORDS_A_BATCH):
                batch = Batch.of(self._kinds, self._fitted(records, names))
                yield Decoded(batch, len(records), 0, Counter())

    def _fitted(self, records: list[Record], names: Attributes) -> list[Record]:
        """The records with the attributes of now, where those had others."""
        width = len(names)
        if names == self._attributes and all(len(r.kind.attributes) == width for r in records):
            return records
        return [_with_attributes(record, names, self._attributes) for record in records]

    def positions(self) -> Mapping[str, bytes | None]:
        """None."""
        return {}

    def committed(self) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """It holds nothing open."""


def _with_attributes(record: Record, names: Attributes, wanted: Attributes) -> Record:
    """A record with other attributes; of a task that began before a change, they have no names."""
    values = record.kind.attributes
    known = dict(zip(names, values, strict=True)) if len(values) == len(names) else {}
    attributes = tuple(known.get(name, "") for name in wanted)
    return record._replace(kind=record.kind._replace(attributes=attributes))
