"""The mapping language: how a gateway's log line becomes a record, as data.

A mapping says where each field of a record stands in a line, in which unit, and what marks "no request"
and "absent". It is written in YAML: by us (`exporter/formats/*.yaml`) or by a user in the configuration.
`docs/formats.md` teaches it by example.
"""

import re
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from exporter.formats.paths import parse_path

Scalar: TypeAlias = str | int | float | bool


def _pattern(value: object) -> object:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
    return value


def _from_path(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Pattern = Annotated[str, BeforeValidator(_pattern)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _exactly_one(model: BaseModel, *names: str) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise ValueError(f"give exactly one of {', '.join(names)}; found {found}")


class Rule(_Strict):
    """A pattern, and what stands for a value that it is found in."""

    pattern: Pattern = Field(description="Regular expression, searched anywhere in the value.")
    value: Scalar


class Text(_Strict):
    """A name: the model, the status, whether it was streamed. A bare string is its path.

    The value at `path` passes `absent`, `extract`, then `map` and `match`; what they don't know is
    absent. Of `first`, the first that is not absent counts.
    """

    path: str | None = None
    first: list["TextField"] | None = None
    value: Scalar | None = Field(None, description="Always this.")
    present: str | None = Field(None, description="True where something stands at this path.")
    absent: list[Scalar] = Field([], description="Values that mean: nothing.")
    extract: Pattern | None = Field(None, description="Keep what its first group matches.")
    map: dict[str, Scalar] | None = Field(None, description="What stands for what.")
    match: list[Rule] | None = Field(None, description="The first rule whose pattern is found.")
    default: Scalar | None = Field(None, description="Instead of an absent value.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _exactly_one(self, "path", "first", "value", "present")
        return self


TextField = Annotated[Text, BeforeValidator(_from_path)]

Unit = Literal["s", "ms", "us", "ns", "min", "1"]
TimeUnit = Literal["auto", "s", "ms", "us", "clf", "iso-unpadded-us"]


class Time(_Strict):
    """An instant. A bare string is its path."""

    path: str
    unit: TimeUnit = Field(
        "auto",
        description="auto: ISO 8601, or seconds, milliseconds or microseconds since 1970 told apart by "
        "their size; clf: 21/Mar/2025:04:28:03 +0000; iso-unpadded-us: ISO 8601 whose fraction is a "
        "plain number of microseconds.",
    )


TimeField = Annotated[Time, BeforeValidator(_from_path)]


class Number(_Strict):
    """A figure: a count, a duration, a cost. A bare string is its path.

    Numbers may stand in strings; a duration that carries its own unit ("2603ms", "1.2s") keeps it.
    """

    path: str | None = None
    first: list["NumberField"] | None = None
    between: tuple[TimeField, TimeField] | None = Field(None, description="From one instant to the other, in seconds.")
    divide: tuple["NumberField", "NumberField"] | None = Field(
        None, description="The one over the other, rounded."
    )
    add: list["NumberField"] | None = Field(None, description="The sum of those that are not absent.")
    absent: list[Scalar] = Field([], description="Values that mean: nobody measured this.")
    unit: Unit = Field("1", description="Of a duration; the record has seconds.")
    scale: float = Field(1.0, description="Multiplies the figure (cents: 0.01).")
    items: Literal["first", "last", "sum"] | None = Field(
        None, description="Of nginx's lists (`0.000, 0.110`): which element counts."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _exactly_one(self, "path", "first", "between", "divide", "add")
        return self


NumberField = Annotated[Number, BeforeValidator(_from_path)]


class Condition(_Strict):
    """Something that a line may fulfil."""

    path: str
    is_: list[Scalar] | None = Field(None, alias="is", description="The value is one of these.")
    match: Pattern | None = Field(None, description="The value has this pattern in it.")
    present: bool | None = Field(None, description="Something, or nothing, stands there.")

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        _exactly_one(self, "is_", "match", "present")
        return self


class Fields(_Strict):
    """Where the fields of a record stand. Those left out are unknown."""

    request_id: TextField | None = None
    trace_id: TextField | None = None
    model: TextField | None = None
    response_model: TextField | None = None
    provider: TextField | None = None
    operation: TextField = Text(value="chat")
    status_code: TextField = Field(description="A number or its text, 100 to 599.")
    error_type: TextField | None = Field(None, description="Default: the status code of a failure.")
    streamed: TextField | None = None
    cache_hit: TextField | None = Field(None, description="Answered from the gateway's own cache.")
    finish_reason: TextField | None = None
    currency: TextField | None = Field(None, description="Of the reported cost. Default: USD.")
    start_time: TimeField | None = None
    end_time: TimeField | None = Field(None, description="Gives the start where only the end is logged.")
    latency: NumberField | None = None
    time_to_first_token: NumberField | None = None
    input_tokens: NumberField | None = None
    output_tokens: NumberField | None = None
    total_tokens: NumberField | None = None
    cached_input_tokens: NumberField | None = None
    cache_creation_input_tokens: NumberField | None = None
    reasoning_output_tokens: NumberField | None = None
    images: NumberField | None = None
    seconds: NumberField | None = None
    characters: NumberField | None = None
    cost: NumberField | None = None
    upstream_time: NumberField | None = None


class FormatSpec(_Strict):
    """One gateway's log format."""

    description: str = Field("", description="What writes such lines; shown by `formats list`.")
    documentation: str = Field("", description="Where the gateway documents them.")
    lines: Literal["json", "logfmt", "text"] = "json"
    pattern: Pattern | None = Field(
        None, description="text: the whole line, with named groups. logfmt: what stands before the pairs."
    )
    flat_keys: bool = Field(False, description="Keys have dots in them; no path goes into an object.")
    roots: dict[str, list[str]] = Field(
        {}, description="A path that begins with a root's name is looked for under each of these in turn."
    )
    embedded: list[str] = Field([], description="Paths of strings that hold JSON; paths go on into them.")
    absent: list[Scalar] = Field(["", "-"], description="Values that mean nothing, in every field.")
    request_if: list[Condition] = Field([], description="Only lines that fulfil one of these are model requests.")
    skip_if: list[Condition] = Field([], description="Lines that fulfil one of these are no model requests.")
    input_excludes_cache: bool = Field(False, description="Cached tokens are not in the input figure.")
    output_excludes_reasoning: bool = Field(False, description="Reasoning tokens are not in the output figure.")
    failures_have_usage: bool = Field(True, description="Tokens of a failed request were really used.")
    fields: Fields
    attributes: dict[str, TextField] = Field({}, description="Extra attributes that the configuration may ask for.")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if (self.lines == "text") and self.pattern is None:
            raise ValueError("lines: text needs a pattern with named groups")
        for path in self.embedded if self.flat_keys else [*self.embedded, *sum(self.roots.values(), [])]:
            parse_path(path)
        return self


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping."""
    both = {key: base[key] for key in base if key not in changes}
    for key, value in changes.items():
        old = base.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
