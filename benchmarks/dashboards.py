"""How long each panel of the Analytics dashboard takes over 50 models and 30 days.

A Prometheus is filled with a month first, which takes minutes. Series grow steadily: what is
measured is how many there are.
"""

import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TypeAlias

from exporter import vocabulary as v
from exporter.dashboards.amounts import STATE_CREATED
from exporter.dashboards.recordings import LEVEL, REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE
from exporter.vocabulary import Instrument
from tests.dashboards.built import DIRECTORY
from tests.dashboards.grafana import Dashboard, Span
from tests.dashboards.history import backfill
from tests.debian import program
from tests.prometheus import Prometheus

DAY = 86_400
DAYS = 30
END = 1_763_856_000.0
MODELS = 50
SCRAPE_S, RECORD_S, BUCKETS_S = 60, 300, 1800
ERRORS = (("429", "RateLimitError"), ("500", "InternalServerError"), ("504", "Timeout"))
IDLE = ("400", "401", "403", "404", "502", "503")
"""Status codes whose series are there at zero."""

TARGET = 'job="exporter",instance="gateway-0:9478"'


Grown: TypeAlias = tuple[str, str, float, tuple[int, ...]]
"""Name, labels, growth a second, and the intervals in seconds at which there are samples."""


def series() -> Iterator[Grown]:
    """Those of all models."""
    both, scraped = (SCRAPE_S, RECORD_S), (SCRAPE_S,)
    for model in range(MODELS):
        identity = (
            f'gen_ai_request_model="model-{model:02}",gen_ai_provider_name="provider-{model % 5}",'
            f'gen_ai_operation_name="chat",team="team-{model % 7}",{TARGET}'
        )
        requests = v.REQUESTS.prometheus_name
        yield requests, f'{identity},http_response_status_code="200"', 0.2, both
        for status_code, error_type in ERRORS:
            error = f'http_response_status_code="{status_code}",error_type="{error_type}"'
            yield requests, f"{identity},{error}", 0.003, both
        for status_code in IDLE:
            error = f'http_response_status_code="{status_code}",error_type="{status_code}"'
            yield requests, f"{identity},{error}", 0.0, scraped
        for kind in ("input", "output"):
            yield v.TOKENS.prometheus_name, f'{identity},gen_ai_token_type="{kind}"', 160, both
        for counter in (v.CACHED_INPUT_TOKENS, v.REASONING_OUTPUT_TOKENS, v.CACHE_HITS):
            yield counter.prometheus_name, identity, 20, scraped
        for counter in (v.REQUESTS_WITHOUT_USAGE, v.CONTENT_FILTERED):
            yield counter.prometheus_name, identity, 0.001, scraped
        yield v.USAGE.prometheus_name, f'{identity},unit="token",modality="text"', 320, scraped
        for histogram in (v.REQUEST_DURATION, v.TIME_TO_FIRST_TOKEN):
            yield from _histogram(histogram, identity)


def _histogram(histogram: Instrument, identity: str) -> Iterator[Grown]:
    name = histogram.prometheus_name
    for part in ("sum", "count"):
        yield f"{name}_{part}", identity, 0.2, (SCRAPE_S, RECORD_S)
    bounds = [*map(str, histogram.buckets), "+Inf"]
    for place, bound in enumerate(bounds, 1):
        # Over so long a range the buckets themselves are not read.
        yield f"{name}_bucket", f'{identity},le="{bound}"', 0.2 * place / len(bounds), (BUCKETS_S,)


def month(day: int) -> Iterator[str]:
    """The samples of one day, for promtool."""
    start = END - (DAYS - day) * DAY
    for name, labels, growth, intervals in series():
        for interval in intervals:
            record = name if interval == SCRAPE_S else LEVEL + name
            for at in range(0, DAY, interval):
                amount = int(growth * (day * DAY + at))
                yield f"{record}{{{labels}}} {amount} {start + at}\n"
    for name in (REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE):
        for model, at in product(range(MODELS), range(0, DAY, 60)):
            identity = f'gen_ai_request_model="model-{model:02}"'
            identity += f',gen_ai_provider_name="provider-{model % 5}",job="exporter"'
            yield f"{name}{{{identity}}} {at % 97} {start + at}\n"
    for record, at in product((STATE_CREATED, LEVEL + STATE_CREATED), range(0, DAY, SCRAPE_S)):
        yield f"{record}{{{TARGET}}} {END - 90 * DAY} {start + at}\n"


def measure() -> str:
    """Fill and measure; the figures as Markdown."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        data = directory / "data"
        for day in range(DAYS + 1):
            backfill(program("promtool"), month(day), data)
        flags = ("--storage.tsdb.retention.time=45d",)
        with Prometheus(program("prometheus"), directory, "{}", flags) as prometheus:
            _settle(data)
            tables = [
                _table(prometheus, granularity, title)
                for granularity, title in (("86400", "a day"), ("3600", "an hour"))
            ]
    return f"Analytics over {MODELS} models and {DAYS} days.\n\n" + "\n".join(tables)


def _settle(data: Path) -> None:
    """Wait until Prometheus has made few large blocks of many small ones, as it does in a month."""
    blocks = -1
    while blocks != (blocks := len(list(data.glob("*/meta.json")))):
        time.sleep(100)


def _table(prometheus: Prometheus, granularity: str, title: str) -> str:
    """The least of three times for each query."""
    span = Span(END - (DAYS - 1) * DAY, END + DAY)
    opened = Dashboard.load(DIRECTORY / "analytics.json", span, granularity=granularity)
    opened = opened.resolve(prometheus)
    rows = []
    for panel in opened.panels():
        for asked in opened.asked(panel):
            took, worked = [], []
            for _ in range(3):
                began, before = time.perf_counter(), prometheus.processor_s
                answer = asked.answer(prometheus)
                took.append(time.perf_counter() - began)
                worked.append(prometheus.processor_s - before)
            query = f"{panel['title']} {asked.ref}"
            rows.append(f"| {query} | {len(answer)} | {min(took):.2f} s | {min(worked):.2f} s |")
    head = f"| buckets of {title} | series | time | processor time |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"
