"""The configuration: what each key may hold, and what it means.

The text under a key is its description in the JSON Schema that editors use (`config_schema`).
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema

from exporter import vocabulary
from exporter.documents import (
    Finding,
    Secret,
    Section,
    at_least_one,
    checked,
    exactly_one,
    load,
    texts,
    under,
)
from exporter.export.otlp.config import OtlpConfig, incoherences
from exporter.formats import builtin_names, resolve
from exporter.formats.spec import FormatSpec
from exporter.labels import USUAL_LIMIT
from exporter.mistakes import nearest, quoted, step_text, unknown
from exporter.quantities import Duration, Size, between
from exporter.sources.proxy.config import ProxyConfig
from exporter.yaml_tree import Steps

STDIN = "-"
"""The path that means standard input."""

SOURCE_KINDS = ("tail", "proxy", "ingest")
"""Keys of a source, of which it has exactly one."""

PRICE_KEYS = (
    *("input", "output", "cached_input", "cache_creation_input", "reasoning_output"),
    *("image", "second", "character"),
)
"""Keys of a price, of which it has at least one."""

RESERVED_LABELS = frozenset(
    map(
        vocabulary.prometheus_label,
        [
            *vocabulary.IDENTITY,
            *(name for each in vocabulary.INSTRUMENTS for name in each.attributes),
            *("le", "quantile", "job", "instance"),
        ],
    )
)
"""Labels that series have already, by the vocabulary or by Prometheus."""

T = TypeVar("T")


def _not_reserved(name: str) -> str:
    if name in RESERVED_LABELS or name.startswith("__"):
        taken = ", ".join(sorted(RESERVED_LABELS))
        raise ValueError(f"expected a label that is not reserved ({taken}, and all in __)")
    return name


def _zone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    example = None
    if isinstance(value, str):
        try:
            return ZoneInfo(value)
        except (KeyError, ValueError, OSError):  # "Atlantis", "../UTC", "Europe"
            example = nearest(value, available_timezones())
    raise ValueError(f"expected an IANA time zone such as {quoted(example or 'Europe/Berlin')}")


def _literal_path(value: object) -> object:
    if isinstance(value, str) and (not value or "${" in value):
        raise ValueError("expected a path (variables such as ${HOME} are not replaced)")
    return value


def _increasing(bounds: tuple[float, ...]) -> tuple[float, ...]:
    for one, next_one in pairwise(bounds):
        if one >= next_one:
            raise ValueError(f"expected increasing bounds, found {next_one:g} after {one:g}")
    return bounds


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"expected each once, found {value} again")
    return values


Name = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Text = Annotated[str, Field(min_length=1)]
Directory = Annotated[Path, BeforeValidator(_literal_path)]
Glob = Annotated[str, BeforeValidator(_literal_path)]
LABEL_PATTERN = "^[a-z_][a-z0-9_]*$"
Label = Annotated[str, Field(pattern=LABEL_PATTERN), AfterValidator(_not_reserved)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
StatusCode = Annotated[int, Field(ge=100, le=599)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bounds = Annotated[
    tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
    Field(min_length=1, max_length=64),
    AfterValidator(_increasing),
]


class TailConfig(Section):
    """Log files to read, and to go on reading as they grow and are rotated."""

    paths: Annotated[tuple[Glob, ...], Field(min_length=1)]
    """Globs of the files; ** crosses directories, and - is standard input."""

    exclude: tuple[Glob, ...] = ("*.tmp",)
    """Globs of files to leave out, matched against the whole path and against the name alone."""

    format: str
    """What the lines mean: a built-in format, or one under `formats`."""

    start: Literal["beginning", "end"] = "beginning"
    """Where to begin in files that are there when this source runs for the first time ever."""

    envelope: Literal["auto", "none", "cri", "docker"] = "auto"
    """What a container runtime has put around each line; auto looks at the lines."""

    max_line_size: Annotated[Size, between(Size("1KiB"), Size("256MiB"))] = Size("1MiB")
    """Longer lines are skipped, and counted as too long."""

    poll_interval: Annotated[Duration, between(Duration("10ms"), Duration("1m"))] = Duration(
        "250ms"
    )
    """How often files are looked at for new lines; once a second at most for new files."""

    rotated_wait: Annotated[Duration, between(Duration("0s"), Duration("1d"))] = Duration("60s")
    """How long a rotated or deleted file is still read after its last new line."""

    timezone: Zone = ZoneInfo("UTC")
    """IANA time zone of those times in the log that name no zone."""

    max_open_files: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Files kept open at once; those beyond it take turns."""


class IngestConfig(Section):
    """Requests that gateways and log shippers push: POST /ingest/{format} on the web listener."""

    token: Secret | None = None
    """Token that senders bear (Authorization: Bearer ...); users of the web-config file do too."""

    max_body: Annotated[Size, between(Size("1KiB"), Size("256MiB"))] = Size("8MiB")
    """Of one push, unpacked; larger ones get 413."""

    repeat_window: Annotated[Duration, between(Duration("0s"), Duration("1d"))] = Duration("10m")
    """How long a request that was pushed is known again, and then not counted twice."""


class SourceConfig(Section):
    """Where requests are learnt of: a name, and one kind of source."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in SOURCE_KINDS]}
    )

    name: Name
    """What this source is called in metrics and in the state; a renamed source starts anew."""

    tail: TailConfig | None = None
    """Read log files."""

    proxy: ProxyConfig | None = None
    """Stand before an API, and count what goes through."""

    ingest: IngestConfig | None = None
    """Take what is pushed; one source of this kind at most."""

    @property
    def kind(self) -> str:
        """Which of `SOURCE_KINDS` it is."""
        return next(kind for kind in SOURCE_KINDS if getattr(self, kind) is not None)

    def attributes(self, formats: Mapping[str, FormatSpec]) -> set[str]:
        """Names of the attributes that its records can have.

        Args:
            formats: configured ones.
        """
        if self.proxy is not None:
            fingerprint = self.proxy.key_fingerprint
            return {*self.proxy.attributes, *([fingerprint.attribute] if fingerprint else ())}
        names = {*builtin_names(), *formats} if self.tail is None else {self.tail.format}
        return {name for format_ in names for name in resolve(format_, formats).attributes}

    @model_validator(mode="wrap")
    @classmethod
    def _one_kind(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, exactly_one(data, *SOURCE_KINDS))


class LabelsConfig(Section):
    """Which labels series have, and how many series there may be."""

    models: tuple[Text, ...] = ()
    """Models known beforehand; others become a label once a request for them has succeeded."""

    attributes: Annotated[tuple[Label, ...], AfterValidator(_distinct)] = ()
    """Further attributes of a record that become labels, such as workspace, team or route."""

    limit: Annotated[int, Field(ge=1, le=10_000)] = USUAL_LIMIT
    """Values that each label may have; those beyond it become `other`.

    Of models, providers, operations and attributes there may be 50 times as many combinations; in
    those beyond them all attributes are `other`.
    """

    statuses: Annotated[tuple[StatusCode, ...], AfterValidator(_distinct)] = (
        vocabulary.USUAL_STATUSES
    )
    """Status codes whose counters are there, at zero, before the first such request."""


class HistogramsConfig(Section):
    """Upper bounds of histogram buckets, increasing; +Inf is added. Left out: the built-in ones."""

    request_duration: Bounds | None = None
    """Seconds, of gen_ai_server_request_duration_seconds."""

    time_to_first_token: Bounds | None = None
    """Seconds, of gen_ai_server_time_to_first_token_seconds."""

    time_per_output_token: Bounds | None = None
    """Seconds, of gen_ai_server_time_per_output_token_seconds."""

    token_usage: Bounds | None = None
    """Tokens, of gen_ai_client_token_usage."""

    overhead: Bounds | None = None
    """Seconds, of llm_gateway_overhead_duration_seconds."""

    def buckets(self) -> dict[str, tuple[float, ...]]:
        """The bounds that are given, by the OTel name of their histogram."""
        given = {
            vocabulary.REQUEST_DURATION: self.request_duration,
            vocabulary.TIME_TO_FIRST_TOKEN: self.time_to_first_token,
            vocabulary.TIME_PER_OUTPUT_TOKEN: self.time_per_output_token,
            vocabulary.TOKEN_USAGE: self.token_usage,
            vocabulary.OVERHEAD: self.overhead,
        }
        return {instrument.name: bounds for instrument, bounds in given.items() if bounds}


class Price(Section):
    """What some models cost, for requests whose log line tells no cost."""

    models: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Names of models; * and ? stand for any characters. The first entry that fits counts."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    """ISO 4217 code."""

    input: Amount | None = None
    """Per million input tokens."""

    output: Amount | None = None
    """Per million output tokens."""

    cached_input: Amount | None = None
    """Per million input tokens that the provider had cached; default: as `input`."""

    cache_creation_input: Amount | None = None
    """Per million input tokens written to the provider's cache; default: as `input`."""

    reasoning_output: Amount | None = None
    """Per million output tokens spent on reasoning; default: as `output`."""

    image: Amount | None = None
    """Per image."""

    second: Amount | None = None
    """Per second of audio or video."""

    character: Amount | None = None
    """Per character of text that is spoken."""

    @model_validator(mode="wrap")
    @classmethod
    def _priced(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, at_least_one(data, *PRICE_KEYS))


class RequestLogConfig(Section):
    """The request log: a row for each request, to be searched and exported."""

    enabled: bool = True
    """Whether requests are logged; when it is off, what was logged stays and is not shown."""

    retention: Annotated[Duration, between(Duration("1d"), Duration("3650d"))] = Duration("14d")
    """How long a request is kept, by its start; whole days are deleted."""

    max_size: Annotated[Size, between(Size("1MiB"), Size("1024TiB"))] = Size("20GiB")
    """Size at which the oldest days are deleted even before that."""


class Config(Section):
    """Configuration of llm-gateway-exporter."""

    state_dir: Directory = Path("/var/lib/llm-gateway-exporter")
    """Directory of the series, positions and request log; of one running exporter only."""

    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    """Where requests are learnt of, one entry for each gateway or log."""

    formats: Mapping[Name, FormatSpec] = {}
    """Log formats of your own, by name; one with a built-in's name takes its place."""

    labels: LabelsConfig = LabelsConfig()
    """Which labels series have, and how many series there may be."""

    histograms: HistogramsConfig = HistogramsConfig()
    """Bucket bounds that differ from the built-in ones."""

    prices: tuple[Price, ...] = ()
    """A price list, to estimate cost where the gateway reports none."""

    request_log: RequestLogConfig = RequestLogConfig()
    """The request log: a row for each request, to be searched and exported."""

    otlp: tuple[OtlpConfig, ...] = ()
    """Endpoints that the series, or requests as log records, are pushed to."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share the files of `tail` sources and the clients of `proxy` sources; a change
    takes a restart."""

    commit_interval: Annotated[Duration, between(Duration("50ms"), Duration("60s"))] = Duration(
        "1s"
    )
    """How long counts may wait until they are made durable, and only then shown."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, _incoherences(data))

    @property
    def request_log_dir(self) -> Path:
        """Where the request log's files are."""
        return self.state_dir / "requests"


def load_config(path: Path) -> Config:
    """The configuration at `path`.

    Raises:
        DocumentError: it cannot be read or has mistakes; holds all of them, with their lines.
    """
    return load(path, Config)


def unfilled_attributes(config: Config) -> dict[str, str | None]:
    """Those of `labels.attributes` that no source has, and so stay empty; with the nearest that one
    has."""
    had: set[str] = set()
    for source in config.sources:
        had |= source.attributes(config.formats)
    return {name: nearest(name, had) for name in config.labels.attributes if name not in had}


def config_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration, by which editors complete and check it."""
    schema = Config.model_json_schema(schema_generator=_SchemaAsWritten)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _SchemaAsWritten(GenerateJsonSchema):
    """Default values of durations and sizes as a person writes them."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Duration | Size) else super().encode_default(dft)


def _incoherences(data: object) -> Iterator[Finding]:
    """Where parts of a configuration do not go together."""
    named: dict[str, Steps] = {}
    for steps, name in texts(data, "sources", "*", "name"):
        if name in named:
            first = step_text(named[name])
            yield steps, f"expected a name of its own; {quoted(name)} is {first} already"
        named.setdefault(name, steps[:-1])
    own = under(data, "formats")
    formats = {*builtin_names(), *(own if isinstance(own, Mapping) else ())}
    for steps, name in texts(data, "sources", "*", "tail", "format"):
        if name not in formats:
            yield steps, unknown(f"format {quoted(name)}", name, formats)
    yield from _unlisted_attributes(data)
    doors = [
        ("sources", number, "ingest")
        for number, source in _sources(data)
        if under(source, "ingest") is not None
    ]
    for door in doors[1:]:
        first = step_text(doors[0])
        yield door, f"there is one push door for all senders; it is {first} already"
    paths = texts(data, "sources", "*", "tail", "paths", "*")
    stdin = [steps for steps, path in paths if path == STDIN]
    for steps in stdin[1:]:
        yield steps, f"standard input can be read once; it is {step_text(stdin[0])} already"
    yield from incoherences(data)


def _unlisted_attributes(data: object) -> Iterator[Finding]:
    """Attributes that a proxy is to fill in and that no record has."""
    listed = [name for _, name in texts(data, "labels", "attributes", "*")]
    asked = list(texts(data, "sources", "*", "proxy", "key_fingerprint", "attribute"))
    for number, source in _sources(data):
        named = under(under(source, "proxy"), "attributes")
        place = ("sources", number, "proxy", "attributes")
        names = named if isinstance(named, Mapping) else ()
        asked += [((*place, name), str(name)) for name in names]
    for steps, name in asked:
        if name not in listed:
            yield steps, f"expected one of labels.attributes; found {quoted(name)}"


def _sources(data: object) -> Iterator[tuple[int, object]]:
    """Each source that is written, by its number."""
    sources = under(data, "sources")
    return enumerate(sources if isinstance(sources, list | tuple) else ())
