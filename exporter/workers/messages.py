"""What the main process and a worker tell each other: pickles of these, each after its length.

They pass through a worker's standard input and output, which nobody else can write to.
"""

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from exporter import logs
from exporter.config import Config
from exporter.ledger import Change, Exemplar, LabelValues, PlacedExemplar, StoredSeries
from exporter.record import Indices, Numbers
from exporter.sources.proxy.doors import WantedProxy
from exporter.sources.proxy.metrics import Remaining
from exporter.sources.proxy.tasks import TaskNews
from exporter.sources.tail.division import Assigned

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Configure:
    """To a worker: run with this configuration from now on.

    Attributes:
        generation: numbers the configurations, so that what is told under an old one is known.
    """

    generation: int
    config: Config
    log_level: logs.Level
    log_format: logs.Format


@dataclass(frozen=True, slots=True)
class Assign:
    """To a worker: these files of a source are yours."""

    source: str
    files: Assigned


@dataclass(frozen=True, slots=True)
class Serve:
    """To a worker: serve these proxies and no others; their sockets were handed over before."""

    proxies: Sequence[WantedProxy]


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: let requests under way end, commit what was read, and end."""


Order = Configure | Assign | Serve | Stop


@dataclass(frozen=True, slots=True)
class AllSeries:
    """From a worker: what it begins with under a configuration."""

    generation: int
    batch: int
    series: Sequence[StoredSeries]


class ChangedFamily(NamedTuple):
    """A `Change` that can be sent, with the series that are new.

    Attributes:
        born, created: labels and times of those, which follow upon the rows that were known.
    """

    instrument: str
    rows: Indices
    totals: Numbers
    born: Sequence[LabelValues]
    created: Sequence[float]


class ShownExemplar(NamedTuple):
    """A `PlacedExemplar` that can be sent."""

    instrument: str
    row: int
    bucket: int
    exemplar: Exemplar


@dataclass(frozen=True, slots=True)
class Committed:
    """From a worker: what a commit has changed."""

    generation: int
    batch: int
    changes: Sequence[ChangedFamily]
    exemplars: Sequence[ShownExemplar]


class OwnSample(NamedTuple):
    """A sample of a metric about the exporter itself."""

    family: str
    type: str
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """From a worker, once a second.

    Attributes:
        problem: why readers should not rely on its series, None if they may.
        remaining: what providers have said is left, all of it.
        tasks: what was seen of asynchronous calls since the last sign.
    """

    problem: str | None
    metrics: Sequence[OwnSample]
    remaining: Sequence[Remaining]
    tasks: Sequence[TaskNews]


@dataclass(frozen=True, slots=True)
class Drained:
    """From a worker that is to end: no request is under way any more; the last commit follows."""


Report = AllSeries | Committed | SignOfLife | Drained


def framed(message: Order | Report) -> bytes:
    """The message as it is sent."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def read_order(stream: BinaryIO) -> Order | None:
    """The next one, None when there will be no more."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    data = stream.read(size)
    if len(data) < size:
        return None
    order: Order = pickle.loads(data)  # noqa: S301 - by this program
    return order


def changed(changes: Sequence[Change]) -> list[ChangedFamily]:
    """Changes that are about to be published, as they are sent."""
    found = []
    for family, rows, totals in changes:
        born = slice(family.published, len(family))
        found.append(
            ChangedFamily(
                family.instrument.name, rows, totals, family.labels[born], family.created[born]
            )
        )
    return found


def shown(exemplars: Sequence[PlacedExemplar]) -> list[ShownExemplar]:
    """Exemplars as they are sent."""
    return [
        ShownExemplar(instrument.name, row, bucket, exemplar)
        for instrument, row, bucket, exemplar in exemplars
    ]
