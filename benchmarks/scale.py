"""What replicas add up to: samples of an exporter, and the arithmetic for many gateways."""

import asyncio
import gzip

import numpy as np

from benchmarks.contest import table
from exporter.accounting import Accountant, Labelling
from exporter.engine import Metrics
from exporter.export.scrape import Exposition
from exporter.ledger import Ledger
from exporter.prices import Prices
from exporter.record import COLUMN_NAMES, Batch, Columns, Kind, Kinds
from exporter.tally import Tally
from exporter.vocabulary import IDENTITY, INSTRUMENTS

MODELS = 10
FAILURES = ((429, "429"), (500, "500"), (504, "504"))
GATEWAYS = (10, 1_000, 10_000)
SCRAPE_INTERVAL_S = 30
REQUESTS_PER_S = 20
"""Of one gateway, for the arithmetic; its log lines have 421 bytes as in `lines`."""
ROW_BYTES = 92
"""Of the request log, as docs/request-log.md has measured it."""


def measure() -> str:
    """Markdown of the result."""
    own, _ = _samples(0)
    with_models, text = _samples(MODELS)
    per_model = (with_models - own) / MODELS
    wire = len(gzip.compress(text, 6)) / with_models
    rows = []
    for gateways in GATEWAYS:
        samples = gateways * with_models
        rows.append(
            [
                f"{gateways:,}",
                f"{samples:,}",
                f"{samples / SCRAPE_INTERVAL_S:,.0f}",
                f"{samples * wire / SCRAPE_INTERVAL_S / 2**20:,.2f}",
                f"{gateways * REQUESTS_PER_S:,}",
                f"{gateways * REQUESTS_PER_S * 86400 * ROW_BYTES / 2**30:,.1f}",
            ]
        )
    return (
        f"An exporter has {own} samples of its own, and {per_model:.0f} for each model that "
        f"answers streamed, with cached and reasoning tokens and a cost, and fails in "
        f"{len(FAILURES)} ways: {with_models:,} with {MODELS} models, {wire:.1f} bytes each over "
        f"the wire (gzip). One exporter a gateway, {MODELS} models each, scraped every "
        f"{SCRAPE_INTERVAL_S} s, with {REQUESTS_PER_S} requests a second:\n\n"
        + table(
            [
                "gateways",
                "series",
                "samples/s",
                "MiB/s scraped",
                "requests/s",
                "GiB of request log a day, all exporters together",
            ],
            rows,
        )
    )


def _samples(models: int) -> tuple[int, bytes]:
    """How many samples a scrape has, and its text."""
    labelling = Labelling()
    ledger = Ledger(INSTRUMENTS, IDENTITY + labelling.attributes)
    accountant = Accountant(ledger, labelling, Prices())
    kinds = Kinds()
    tally = Tally(INSTRUMENTS)
    found = [_kind(f"model-{number}", 200, "") for number in range(models)]
    found += [_kind(kind.model, *failure) for kind in found for failure in FAILURES]
    numbers = np.array([kinds.number(kind) for kind in found], np.int64)
    if found:
        columns = [_column(name, len(found)) for name in COLUMN_NAMES]
        batch = Batch(
            kinds=kinds,
            kind=numbers,
            numbers=Columns(*columns),
            request_ids=lambda: [""] * len(found),
            trace_ids=lambda: [""] * len(found),
            start_times=lambda: _column("start_time", len(found)),
        )
        tally.add(batch, Prices().estimate(batch))
        ledger.publish(ledger.changes(accountant.fold(tally, kinds).additions))
    exposition = Exposition(ledger, Metrics().registry)
    text = asyncio.run(exposition.render(openmetrics=False))
    return sum(not line.startswith(b"#") for line in text.splitlines()), text


def _kind(model: str, status: int, error_type: str) -> Kind:
    return Kind(
        model=model,
        response_model="",
        provider="openai",
        operation="chat",
        status_code=status,
        error_type=error_type,
        streamed=not error_type,
        cache_hit=False,
        finish_reason="stop",
        attributes=(),
        currency="USD",
    )


def _column(name: str, size: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """A figure of every request: what it is does not matter here."""
    values = {
        "start_time": 1.77e9,
        "latency": 4.0,
        "time_to_first_token": 0.5,
        "output_tokens": 80.0,
    }
    return np.full(size, values.get(name, 3.0))
