"""A source that holds what it is given, and a pipeline that reads it into a real state."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from exporter.accounting import Accountant, Labelling
from exporter.formats import resolve
from exporter.formats.compile import Decoder
from exporter.ledger import Ledger
from exporter.pipeline import Feed, Pipeline
from exporter.prices import Prices
from exporter.record import Kinds
from exporter.selfmetrics import PipelineMetrics
from exporter.store.state import StateStore
from exporter.vocabulary import IDENTITY, INSTRUMENTS, Instrument
from tests.counting import series_of, value_of


def line(model: str = "qwen", status: int = 200, **fields: Any) -> bytes:
    """A line of the format `records`."""
    return json.dumps({"model": model, "status_code": status, **fields}).encode() + b"\n"


class HeldSource:
    """A log in memory; its position is how many of its blocks were read.

    Attributes:
        blocks: the log, to be appended to.
        budgets: with which it was asked.
        durable: the position that it was told of.
        failure: what the next reading raises once the blocks are read, None for nothing.
    """

    def __init__(self, name: str, blocks: Sequence[bytes] = ()) -> None:
        self.name = name
        self.blocks = list(blocks)
        self.budgets: list[int] = []
        self.durable = 0
        self.failure: Exception | None = None
        self._read_to = 0

    @property
    def reads(self) -> int:
        """How often it was asked."""
        return len(self.budgets)

    def resume(self, known: Mapping[str, bytes]) -> None:
        """Go on where a state says."""
        self._read_to = self.durable = int(known.get("log", b"0"))

    def read(self, budget: int) -> Iterator[bytes]:
        self.budgets.append(budget)
        while self._read_to < len(self.blocks) and budget > 0:
            data = self.blocks[self._read_to]
            self._read_to += 1
            budget -= len(data)
            yield data
        if self.failure is not None:
            raise self.failure

    def positions(self) -> Mapping[str, bytes | None]:
        return {} if self._read_to == self.durable else {"log": str(self._read_to).encode()}

    def committed(self) -> None:
        self.durable = self._read_to

    def close(self) -> None:
        pass


class Feeding:
    """A pipeline over a state directory, as the daemon puts it together."""

    def __init__(
        self, directory: Path, *sources: HeldSource, details: bool = True, **options: Any
    ) -> None:
        self.store = StateStore(directory)
        self.ledger = Ledger(INSTRUMENTS, IDENTITY)
        self.ledger.load(self.store.series(INSTRUMENTS))
        self.kinds = Kinds()
        self.registry = CollectorRegistry()
        prices = Prices()
        for source in sources:
            source.resume(self.store.positions(source.name))
        spec = resolve("records", {})
        feeds = [Feed(source, Decoder(spec, self.kinds, details=details)) for source in sources]
        self.feeds = feeds
        self.pipeline = Pipeline(
            feeds,
            ledger=self.ledger,
            accountant=Accountant(self.ledger, Labelling(), prices),
            prices=prices,
            kinds=self.kinds,
            store=self.store,
            metrics=PipelineMetrics(self.registry),
            **options,
        )

    def value(self, instrument: Instrument, **labels: str) -> float | None:
        """As readers of the ledger see it; see `Counting.value`."""
        return value_of(series_of(self.ledger), instrument, **labels)

    def metric(self, name: str, **labels: str) -> float | None:
        """A metric of the pipeline about itself."""
        return self.registry.get_sample_value(f"llm_gateway_exporter_{name}", labels)


@contextmanager
def feeding(directory: Path, *sources: HeldSource, **options: Any) -> Iterator[Feeding]:
    """A `Feeding` whose state is closed in the end."""
    found = Feeding(directory, *sources, **options)
    try:
        yield found
    finally:
        found.store.close()
