"""Where a field of a record stands in a log line, and how its value is to be understood."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from exporter.documents import Section

M = TypeVar("M", bound=BaseModel)
Scalar: TypeAlias = str | int | float | bool

TIME_UNITS = ("auto", "s", "ms", "us", "ns", "clf", "iso-unpadded-us")


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return value


def _time_unit(value: str) -> str:
    if value in TIME_UNITS:
        return value
    is_pattern = False
    try:
        datetime.strptime("", value)
    except ValueError as error:
        is_pattern = "%" in value and "does not match" in str(error)
    if not is_pattern:
        names = ", ".join(TIME_UNITS)
        raise ValueError(f"expected one of {names}, or a pattern such as %Y/%m/%d %H:%M:%S")
    return value


def _with_one_of(model: M, *keys: str) -> M:
    """The model itself, if exactly one of the keys has a value."""
    given = [key for key in keys if getattr(model, "is_" if key == "is" else key) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ValueError(f"needs exactly one of {', '.join(keys)}; found {found}")
    return model


Pattern = Annotated[str, AfterValidator(_pattern)]
TimeUnit = Annotated[str, AfterValidator(_time_unit)]
Unit = Literal["s", "ms", "us", "ns", "min"]


class Condition(Section):
    """Something that a line may fulfil. One of `is`, `match` and `present` says what."""

    path: str
    """Where the value stands."""

    is_: Annotated[tuple[Scalar, ...] | None, Field(alias="is")] = None
    """The value is one of these."""

    match: Pattern | None = None
    """The value has this regular expression in it."""

    present: bool | None = None
    """Something stands there (true), or nothing does (false)."""

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        return _with_one_of(self, "is", "match", "present")


class Rule(Section):
    """A pattern, and what stands for a value that it is found in."""

    pattern: Pattern
    """Regular expression, searched anywhere in the value."""

    value: Scalar
    """What the value becomes."""


class _Origin(Section):
    """What says where a value comes from; a bare string is its path."""

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, data: object) -> object:
        return {"path": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class Text(_Origin):
    """A name: the model, the status, whether it was streamed.

    A found value passes `absent`, `extract`, then `map` and `match`; what these two don't know is
    absent.
    """

    path: str | None = None
    """Where the value stands."""

    first: tuple["Text", ...] | None = None
    """The first of these that is not absent."""

    value: Scalar | None = None
    """Always this."""

    present: str | None = None
    """True if something stands at this path, else absent."""

    absent: tuple[Scalar, ...] = ()
    """Values that mean nothing here, besides those of the whole mapping."""

    extract: Pattern | None = None
    """Keep what the first group of this regular expression matches, or all that it matches."""

    map: Mapping[str, Scalar] | None = None
    """What stands for which value."""

    match: tuple[Rule, ...] | Literal["operations"] | None = None
    """The first rule whose pattern is found says what stands for the value.

    `operations` are rules that tell the operation by a URL such as OpenAI's.
    """

    when: tuple[Condition, ...] = ()
    """Absent in lines that do not fulfil all of these."""

    default: Scalar | None = None
    """What stands for an absent value."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        return _with_one_of(self, "path", "first", "value", "present")


class Time(_Origin):
    """An instant."""

    path: str
    """Where it stands."""

    unit: TimeUnit = "auto"
    """How it is spelled.

    auto: ISO 8601, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970,
    told apart by its size. clf: 21/Mar/2025:04:28:03 +0000. iso-unpadded-us: ISO 8601 whose
    fraction is a plain number of microseconds. What has a % in it: a pattern of Python's strptime.
    """


class Number(_Origin):
    """A figure: a count, a duration, a cost.

    It may stand in a string, and a duration there may carry its own unit ("2603ms", "1m30s").
    """

    path: str | None = None
    """Where the figure stands."""

    first: tuple["Number", ...] | None = None
    """The first of these that is not absent."""

    add: tuple["Number", ...] | None = None
    """The sum of those that are not absent."""

    divide: tuple["Number", "Number"] | None = None
    """The one over the other, rounded to a whole number."""

    between: tuple[Time, Time] | None = None
    """Seconds from one instant to the other."""

    count: str | None = None
    """How many elements the list at this path has."""

    absent: tuple[Scalar, ...] = ()
    """Values that mean that nobody measured, besides those of the whole mapping."""

    unit: Unit = "s"
    """Of a duration; a record has seconds. What is no duration needs none."""

    scale: float = 1.0
    """Multiplies the figure (0.01 where a cost is in cents)."""

    items: Literal["first", "last", "sum"] | None = None
    """Which element of nginx's lists counts (`0.000, 0.110 : 0.020`)."""

    when: tuple[Condition, ...] = ()
    """Absent in lines that do not fulfil all of these."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.path is None and (misplaced := {"absent", "unit", "items"} & self.model_fields_set):
            raise ValueError(f"{' and '.join(sorted(misplaced))} can stand beside path only")
        return _with_one_of(self, "path", "first", "add", "divide", "between", "count")


class Fields(Section):
    """Where the fields of a record stand. One that is left out is unknown."""

    model_config = ConfigDict(json_schema_extra={"required": []})  # `extends` may have it

    request_id: Text | None = None
    """Of the request; no label, but an exemplar and a column of the request log."""

    trace_id: Text | None = None
    """Of the trace that the request belongs to."""

    model: Text | None = None
    """The model that was asked for, by the client's name for it."""

    response_model: Text | None = None
    """The model that answered."""

    provider: Text | None = None
    """Who serves the model, as the gateway calls it."""

    operation: Text = Text(value="chat")
    """chat, text_completion, embeddings, image_generation, speech, transcription, …"""

    status_code: Text
    """Of HTTP, a number or its text, 100 to 599. A line without one is rejected."""

    error_type: Text | None = None
    """Why a request failed, by a name of low cardinality. Default: a failure's status code.

    With a 2xx status it marks a failure: `stream_aborted` for an answer that broke off, and
    `client_aborted` for a client that went away, which stands on neither side of the success rate.
    """

    streamed: Text | None = None
    """Whether the answer was streamed: true, 1, yes or on."""

    cache_hit: Text | None = None
    """Whether the gateway answered from its own cache."""

    finish_reason: Text | None = None
    """Why the model stopped; some reasons tell of content moderation."""

    currency: Text | None = None
    """Of the cost, ISO 4217. Default: USD."""

    start_time: Time | None = None
    """When the request came."""

    end_time: Time | None = None
    """When the answer ended; gives the start where only the end is logged."""

    latency: Number | None = None
    """From the request to the last byte of the answer, in seconds."""

    time_to_first_token: Number | None = None
    """Seconds; counts only for streamed successes, and only where it is less than the latency."""

    input_tokens: Number | None = None
    """Tokens of the prompt."""

    output_tokens: Number | None = None
    """Tokens of the answer."""

    total_tokens: Number | None = None
    """Of both. Default: their sum."""

    cached_input_tokens: Number | None = None
    """Input tokens that the provider had cached."""

    cache_creation_input_tokens: Number | None = None
    """Input tokens that were written to the provider's cache."""

    reasoning_output_tokens: Number | None = None
    """Output tokens spent on reasoning."""

    images: Number | None = None
    """Images that were made."""

    seconds: Number | None = None
    """Seconds of audio or video that are billed."""

    characters: Number | None = None
    """Characters of text that are billed."""

    cost: Number | None = None
    """What the gateway says that the request cost."""

    upstream_time: Number | None = None
    """Seconds of the latency that the provider took; the rest is the gateway's own."""
