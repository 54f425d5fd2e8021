"""Pushes on their way into the pipeline, and their receipts on the way back."""

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as CounterMetric

from exporter.errors import ExporterError
from exporter.formats.compile import Decoded, Decoder
from exporter.formats.spec import FormatSpec
from exporter.sources.inbox import Inbox
from exporter.sources.ingest.bodies import blocks, json_lines
from exporter.sources.ingest.repeats import Repeats, digest_of, digests_of

MOST_HINTS = 3
"""Broken lines that a receipt explains."""


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How the door is kept.

    Attributes:
        token: that senders must bear, None if the web listener's own rules will do.
        max_body_bytes: of one push, unpacked.
        repeat_window_s: how long a push is known again.
        formats: that can be sent, by name.
    """

    token: str | None
    max_body_bytes: int
    repeat_window_s: float
    formats: Mapping[str, FormatSpec]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a push, once its commit is done.

    Attributes:
        accepted: requests that count now.
        repeated: requests that counted before.
        skipped: lines that are no model request.
        rejected: lines that cannot be read, by reason.
        hints: what is wrong with the first ones; nothing of the lines.
    """

    accepted: int
    repeated: int
    skipped: int
    rejected: Counter[str]
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Push:
    """A body that was sent.

    Attributes:
        format: one of the settings'.
        idempotency_key: by which the sender knows it again, "" if it gave none.
        receipt: is set by the pipeline's thread, on the loop that it belongs to.
    """

    format: str
    body: bytes
    idempotency_key: str
    receipt: asyncio.Future[Receipt]


Told: TypeAlias = tuple[asyncio.Future[Receipt], Receipt]
"""What is to be told to the sender of a push, whose body is of no more use."""


class PushRefused(ExporterError):
    """There is no room for a push now."""


class IngestMetrics:
    """What the push door says about itself; lines and records are counted by the pipeline."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "llm_gateway_exporter_ingest"
        self.pushes = CounterMetric(
            f"{prefix}_pushes", "Pushes answered, by status code.", ["code"], registry=registry
        )
        self.repeated = CounterMetric(
            f"{prefix}_requests_repeated",
            "Requests that were pushed again within the window, and not counted again.",
            registry=registry,
        )


class IngestSource:
    """Reads pushes from an inbox; a push's receipt is handed out after its commit.

    Args:
        decoder: makes the decoder of a format.
        known: positions of before.
    """

    def __init__(
        self,
        name: str,
        settings: IngestSettings,
        inbox: Inbox[Push],
        decoder: Callable[[FormatSpec], Decoder],
        known: Mapping[str, bytes],
        metrics: IngestMetrics,
    ) -> None:
        self.name = name
        self.settings = settings
        self._inbox = inbox
        self._decoder = decoder
        self._decoders: dict[str, Decoder] = {}
        self._repeats = Repeats(settings.repeat_window_s, known)
        self._metrics = metrics
        self._decoding: Iterator[Decoded] = iter(())
        self._done: list[Told] = []  # Read, but not committed yet.

    def admits(self, authorization: str) -> bool:
        """Whether an `Authorization` header bears the token."""
        scheme, _, given = authorization.partition(" ")
        token = self.settings.token or ""
        # What is no UTF-8 comes as halves of surrogate pairs, which are no token, but no error.
        given_bytes = given.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and secrets.compare_digest(given_bytes, token.encode())

    def push(self, format: str, body: bytes, idempotency_key: str) -> asyncio.Future[Receipt]:
        """Take a body in; the receipt comes once its requests are committed.

        Raises:
            PushRefused: there is no room for it.
        """
        receipt = asyncio.get_running_loop().create_future()
        push = Push(format, body, idempotency_key, receipt)
        if not self._inbox.offer(push, len(body), urgent=True):
            raise PushRefused("too many pushes wait for their commit")
        return receipt

    def read(self, budget: int) -> Iterator[Decoded]:
        """All pushes that wait, first the rest of one that was left in the middle for a commit.

        Nothing if the budget is 0.
        """
        while budget:
            # Not by `yield from`, which would close it together with this reading.
            while (decoded := next(self._decoding, None)) is not None:
                yield decoded
            if not (waiting := self._inbox.take(1)):
                return
            self._decoding = self._decoded(waiting[0])

    def _decoded(self, push: Push) -> Iterator[Decoded]:
        spec = self.settings.formats.get(push.format)
        if spec is None:  # The configuration changed while the push waited.
            self._fail(push, LookupError(push.format))
            return
        accepted = repeated = skipped = 0
        rejected: Counter[str] = Counter()
        hints: list[str] = []
        if push.idempotency_key:
            key = digest_of(self.name, push.idempotency_key)
        else:
            key = digest_of(self.name, push.format, hashlib.blake2b(push.body).digest())
        is_new = key not in self._repeats
        try:
            decoder = self._decoder_of(push.format, spec)
            for block in json_lines(push.body) if spec.lines == "json" else blocks(push.body):
                decoded = decoder.decode(block)
                known, told = self._without_repeats(decoded) if is_new else _all_known(decoded)
                accepted += len(told.batch)
                repeated += known
                skipped += told.skipped
                rejected += told.rejected
                if told.rejected:
                    hints += islice(_hints(decoder, block), MOST_HINTS - len(hints))
                yield told
        except Exception as error:
            self._fail(push, error)
            raise
        # Many senders send what is refused again, for minutes and before all that waits: with a
        # part that counts it is taken then.
        if push.idempotency_key or (rejected and accepted + repeated):
            self._repeats.add(key)  # Not before: a push that fails in the middle comes again.
        self._metrics.repeated.inc(repeated)
        receipt = Receipt(accepted, repeated, skipped, rejected, tuple(hints))
        self._done.append((push.receipt, receipt))

    def _decoder_of(self, name: str, spec: FormatSpec) -> Decoder:
        if name not in self._decoders:
            self._decoders[name] = self._decoder(spec)
        return self._decoders[name]

    def _without_repeats(self, decoded: Decoded) -> tuple[int, Decoded]:
        """How many requests counted before, and the rest."""
        digests = enumerate(digests_of(decoded.batch))
        new = [row for row, digest in digests if digest is None or self._repeats.add(digest)]
        known = len(decoded.batch) - len(new)
        if not known:
            return 0, decoded
        batch = decoded.batch.take(np.array(new, np.int64))
        return known, Decoded(batch, decoded.lines - known, decoded.skipped, decoded.rejected)

    def _fail(self, push: Push, error: Exception) -> None:
        receipt = push.receipt
        receipt.get_loop().call_soon_threadsafe(
            lambda: None if receipt.done() else receipt.set_exception(error)
        )

    def positions(self) -> Mapping[str, bytes | None]:
        """What must be known again."""
        return self._repeats.positions()

    def committed(self) -> None:
        """Hand the receipts out."""
        done, self._done = self._done, []
        by_loop: dict[asyncio.AbstractEventLoop, list[Told]] = {}
        for told in done:
            by_loop.setdefault(told[0].get_loop(), []).append(told)
        for loop, of_loop in by_loop.items():
            loop.call_soon_threadsafe(_hand_out, of_loop)

    def close(self) -> None:
        """It holds nothing open."""


def _hand_out(done: list[Told]) -> None:
    for sender, receipt in done:
        if not sender.done():  # It may have left.
            sender.set_result(receipt)


def _all_known(decoded: Decoded) -> tuple[int, Decoded]:
    """Nothing of it counts again, its broken lines neither."""
    nothing = decoded.batch.take(np.zeros(0, np.int64))
    return len(decoded.batch), Decoded(nothing, 0, 0, Counter())


def _hints(decoder: Decoder, block: bytes) -> Iterator[str]:
    for line in block.splitlines():
        if line.strip() and decoder.decode(line + b"\n").rejected:
            yield decoder.explain(line)
