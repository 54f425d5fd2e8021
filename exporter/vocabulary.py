"""Every instrument: OTel name, unit, kind, help, buckets and attributes, once.

Names follow the OpenTelemetry GenAI semantic conventions, version 1.41, where they have one
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/); what they lack is under
`llm_gateway.`. The Prometheus name is derived, never typed a second time, so that series that are
scraped and series that are pushed land in Prometheus under one name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

MODEL = "gen_ai.request.model"
PROVIDER = "gen_ai.provider.name"
OPERATION = "gen_ai.operation.name"
IDENTITY = (MODEL, PROVIDER, OPERATION)
"""Attributes of each series; the configured extra ones follow them."""

STATUS_CODE = "http.response.status_code"
ERROR_TYPE = "error.type"
TOKEN_TYPE = "gen_ai.token.type"
UNIT = "unit"
MODALITY = "modality"
CURRENCY = "currency"
SOURCE = "source"

USUAL_STATUSES = (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)
"""Status codes whose counters begin at zero, unless the configuration says otherwise."""

OTHER = "other"
"""What stands for a name that was not let in: a model nobody called with success, one too many."""

UNKNOWN = "unknown"
"""What stands for a name that the gateway did not log."""


class InstrumentKind(Enum):
    """Kinds as Prometheus calls them."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of the vocabulary.

    Attributes:
        name: in OTel's spelling.
        unit: as UCUM writes it, "" for none.
        attributes: those beyond the identity.
        buckets: upper bounds of a histogram, in the unit; +Inf is not among them.
    """

    name: str
    kind: InstrumentKind
    unit: str
    help: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def prometheus_unit(self) -> str:
        """The unit as Prometheus's names spell it, "" where it does not show."""
        return _UNITS.get(self.unit, "")

    @property
    def prometheus_family(self) -> str:
        """The name without a counter's `_total`, as OpenMetrics declares it.

        Rule: OpenTelemetry's "Prometheus and OpenMetrics compatibility", metric metadata:
        characters that are not allowed become `_`, the unit is appended.
        """
        name = prometheus_label(self.name)
        unit = self.prometheus_unit
        return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name

    @property
    def prometheus_name(self) -> str:
        """The name of the series: a counter's ends in `_total`."""
        suffix = "_total" if self.kind is InstrumentKind.COUNTER else ""
        return self.prometheus_family + suffix


_UNITS = {"s": "seconds", "By": "bytes"}


def prometheus_label(attribute: str) -> str:
    """The label that an OTel attribute becomes: what is not a letter, digit or `_` becomes `_`."""
    return re.sub(r"[^a-zA-Z0-9_]+", "_", attribute)


_DURATION = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),
)
_FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 30.0, 60.0, 120.0),
)
_OUTPUT_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**power) for power in range(14))


def _histogram(
    name: str, unit: str, buckets: tuple[float, ...], text: str, *attributes: str
) -> Instrument:
    return Instrument(name, InstrumentKind.HISTOGRAM, unit, text, attributes, buckets)


def _counter(name: str, unit: str, text: str, *attributes: str) -> Instrument:
    return Instrument(name, InstrumentKind.COUNTER, unit, text, attributes)


def _gauge(name: str, unit: str, text: str, *attributes: str) -> Instrument:
    return Instrument(name, InstrumentKind.GAUGE, unit, text, attributes)


REQUEST_DURATION = _histogram(
    "gen_ai.server.request.duration",
    "s",
    _DURATION,
    "Time from a request to the last byte of its answer.",
    ERROR_TYPE,
)
TIME_TO_FIRST_TOKEN = _histogram(
    "gen_ai.server.time_to_first_token",
    "s",
    _FIRST_TOKEN,
    "Time from a request to the first token of its answer; streamed and successful requests only.",
)
TIME_PER_OUTPUT_TOKEN = _histogram(
    "gen_ai.server.time_per_output_token",
    "s",
    _OUTPUT_TOKEN,
    "Time per output token after the first, once a request; streamed and successful requests only.",
)
TOKEN_USAGE = _histogram(
    "gen_ai.client.token.usage", "{token}", _TOKENS, "Tokens of a request, by type.", TOKEN_TYPE
)
OVERHEAD = _histogram(
    "llm_gateway.overhead.duration",
    "s",
    _FIRST_TOKEN,
    "Part of a request's duration that the gateway itself took, where it logs the upstream's.",
)
REQUESTS = _counter(
    "llm_gateway.requests",
    "{request}",
    "Requests, by status and kind of error.",
    STATUS_CODE,
    ERROR_TYPE,
)
TOKENS = _counter(
    "llm_gateway.tokens",
    "{token}",
    "Tokens; input includes cached, output includes reasoning tokens.",
    TOKEN_TYPE,
)
CACHED_INPUT_TOKENS = _counter(
    "llm_gateway.cached_input_tokens",
    "{token}",
    "Input tokens that the provider had cached: a part of the input.",
)
CACHE_CREATION_INPUT_TOKENS = _counter(
    "llm_gateway.cache_creation_input_tokens",
    "{token}",
    "Input tokens written to the provider's cache: a part of the input.",
)
REASONING_OUTPUT_TOKENS = _counter(
    "llm_gateway.reasoning_output_tokens",
    "{token}",
    "Output tokens spent on reasoning: a part of the output.",
)
USAGE = _counter(
    "llm_gateway.usage",
    "",
    "Billed usage, in the unit that its kind of model is billed in.",
    UNIT,
    MODALITY,
)
REQUESTS_WITHOUT_USAGE = _counter(
    "llm_gateway.requests_without_usage",
    "{request}",
    "Successful requests whose tokens nobody reported: tokens are undercounted by theirs.",
)
CONTENT_FILTERED = _counter(
    "llm_gateway.content_filtered", "{request}", "Requests that content moderation refused or cut."
)
COST = _counter(
    "llm_gateway.cost",
    "",
    "Cost, as the gateway reports it or as estimated from configured prices.",
    CURRENCY,
    SOURCE,
)
CACHE_HITS = _counter(
    "llm_gateway.cache_hits", "{request}", "Requests answered from the gateway's own cache."
)

INSTRUMENTS: tuple[Instrument, ...] = (
    REQUEST_DURATION,
    TIME_TO_FIRST_TOKEN,
    TIME_PER_OUTPUT_TOKEN,
    TOKEN_USAGE,
    OVERHEAD,
    REQUESTS,
    TOKENS,
    CACHED_INPUT_TOKENS,
    CACHE_CREATION_INPUT_TOKENS,
    REASONING_OUTPUT_TOKENS,
    USAGE,
    REQUESTS_WITHOUT_USAGE,
    CONTENT_FILTERED,
    COST,
    CACHE_HITS,
)

ACTIVE_REQUESTS = _gauge(
    "llm_gateway.active_requests", "{request}", "Requests under way through the proxy."
)
RATELIMIT_REMAINING = _gauge(
    "llm_gateway.ratelimit.remaining",
    "",
    "What is left until the provider's rate limit, as its last answer said.",
    UNIT,
)

GAUGES = (ACTIVE_REQUESTS, RATELIMIT_REMAINING)
"""Instruments of the moment: they are neither summed nor kept, so the ledger has none of them."""


def instruments(buckets: Mapping[str, Sequence[float]]) -> tuple[Instrument, ...]:
    """All instruments, with the bucket bounds given by OTel name instead of the default ones."""
    return tuple(
        replace(instrument, buckets=tuple(buckets[instrument.name]))
        if instrument.name in buckets
        else instrument
        for instrument in INSTRUMENTS
    )


CONTENT_FILTER_SIGNS = frozenset(
    {
        *("content_filter", "content_filtered", "content_policy_violation"),
        *("contentpolicyviolationerror", "data_inspection_failed", "datainspectionfailed"),
        *("guardrail_intervened", "safety", "refusal", "prohibited_content", "blocklist"),
        *("recitation", "spii"),
    }
)
"""Error types and finish reasons, in lower case, by which providers say that moderation acted."""

MODALITIES: Mapping[str, str] = {
    "image_generation": "image",
    "video_generation": "video",
    "speech": "audio",
    "transcription": "audio",
    "translation": "audio",
    "realtime": "audio",
}
"""Modality that an operation's usage is billed in; text where it isn't named here."""
