"""What is known of one finished request, and of many of them as columns.

Seconds and tokens everywhere: a source converts at its door. Prompts and answers never enter.

A request's names (model, status, …) are few and come again and again, its numbers differ each time.
So a batch keeps the names once, as a `Kind`, and the numbers as columns: what depends on the names
alone (is it a success, which series does it add to) is worked out once for each kind, not for each
request.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

STREAM_ABORTED = "stream_aborted"
CLIENT_ABORTED = "client_aborted"

TOKEN_OPERATIONS = frozenset({"chat", "text_completion", "embeddings"})
"""Operations whose every success uses tokens; one that reports none is worth a warning."""


class Outcome(Enum):
    """On which side of the success rate a request stands; `ABANDONED` is on neither."""

    SUCCESS = "success"
    FAILURE = "failure"
    ABANDONED = "abandoned"


class Kind(NamedTuple):
    """The names of a request; "" is an unknown one.

    Attributes:
        model: the one that was asked for.
        response_model: the one that answered.
        operation: as in the GenAI conventions (chat, embeddings, …).
        status_code: of HTTP, 100 to 599.
        error_type: "" for a success, else a name of low cardinality.
        finish_reason: why the model stopped.
        attributes: values of the configured extra attributes, in the configuration's order.
        currency: of a cost that the gateway reported (ISO 4217).
    """

    model: str
    response_model: str
    provider: str
    operation: str
    status_code: int
    error_type: str
    streamed: bool
    cache_hit: bool
    finish_reason: str
    attributes: tuple[str, ...]
    currency: str

    @property
    def outcome(self) -> Outcome:
        """Success is a 2xx whose answer was whole; a client that went away is on neither side."""
        if self.error_type == CLIENT_ABORTED:
            return Outcome.ABANDONED
        if 200 <= self.status_code < 300 and not self.error_type:
            return Outcome.SUCCESS
        return Outcome.FAILURE


SUCCEEDED, STREAMED, CACHE_HIT, USES_TOKENS = 1, 2, 4, 8
"""Bits of `Kinds.traits`."""


def _traits(kind: Kind) -> int:
    return (
        SUCCEEDED * (kind.outcome is Outcome.SUCCESS)
        | STREAMED * kind.streamed
        | CACHE_HIT * kind.cache_hit
        | USES_TOKENS * (kind.operation in TOKEN_OPERATIONS)
    )


class Kinds:
    """All kinds met so far, numbered from zero. A number is valid until `clear`.

    Attributes:
        generation: changes with each `clear`; whoever keeps numbers compares it.
        traits: shape (kinds,), uint8: the bits above, for columns to be masked by.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.traits = np.zeros(0, np.uint8)
        self._numbers: dict[Kind, int] = {}
        self._kinds: list[Kind] = []

    def __len__(self) -> int:
        return len(self._kinds)

    def __getitem__(self, number: int) -> Kind:
        return self._kinds[number]

    def number(self, kind: Kind) -> int:
        """The kind's number, given now if the kind is new."""
        number = self._numbers.get(kind)
        if number is None:
            number = self._numbers[kind] = len(self._kinds)
            self._kinds.append(kind)
        return number

    def since(self, number: int) -> Sequence[Kind]:
        """The kinds that were met from `number` on."""
        return self._kinds[number:]

    def traits_of(self, numbers: Indices) -> NDArray[np.uint8]:
        """Shape (len(numbers),): each record's bits."""
        if len(self.traits) < len(self._kinds):
            new = [_traits(kind) for kind in self.since(len(self.traits))]
            self.traits = np.concatenate([self.traits, np.array(new, np.uint8)])
        return self.traits[numbers]

    def successor(self) -> Self:
        """An empty table for what comes; this one stays as it is for those who have its numbers."""
        table = type(self)()
        table.generation = self.generation + 1
        return table

    def clear(self) -> None:
        """Forget all of them, so that clients who invent names can't fill the memory."""
        self._numbers.clear()
        self._kinds.clear()
        self.traits = np.zeros(0, np.uint8)
        self.generation += 1


@dataclass(frozen=True, slots=True)
class Columns:
    """The numbers of a batch: float64, shape (records,), NaN where unknown.

    Attributes:
        latency: seconds from the request to the last byte.
        time_to_first_token: seconds.
        input_tokens: cached tokens included.
        output_tokens: reasoning tokens included.
        images, seconds, characters: what is billed where it is not tokens.
        cost: in the kind's currency.
        upstream_time: seconds of the latency that the upstream took.
    """

    latency: Numbers
    time_to_first_token: Numbers
    input_tokens: Numbers
    output_tokens: Numbers
    total_tokens: Numbers
    cached_input_tokens: Numbers
    cache_creation_input_tokens: Numbers
    reasoning_output_tokens: Numbers
    images: Numbers
    seconds: Numbers
    characters: Numbers
    cost: Numbers
    upstream_time: Numbers

    def take(self, rows: Indices) -> Self:
        """The given rows only."""
        return type(self)(*(getattr(self, name)[rows] for name in COLUMN_NAMES))


COLUMN_NAMES = tuple(field.name for field in fields(Columns))

COUNTED_COLUMNS = tuple(name for name in COLUMN_NAMES if name != "total_tokens")
"""Those that series are made of: their tokens are told by type."""

TOKEN_COLUMNS = (
    *("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_input_tokens"),
    "reasoning_output_tokens",
)
UNIT_COLUMNS = ("images", "seconds", "characters")
"""They count, and cost, of successful requests only; tokens of a failed one were used as well."""

LARGEST_FIGURE = 1e10
"""No request has more tokens, seconds or dollars than this; what says so is broken (2^63)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests of one source, in the order in which it told of them.

    Attributes:
        kinds: the table that `kind` points into.
        kind: shape (records,).
        request_ids, trace_ids: make the columns of ids, "" where unknown; calls, because only some
            readers want them, and a log that is read for its series alone goes faster without.
        start_times: makes the column of Unix seconds, NaN where unknown; parsing times costs as
            much as all the rest.
    """

    kinds: Kinds
    kind: Indices
    numbers: Columns
    request_ids: Callable[[], Sequence[str]]
    trace_ids: Callable[[], Sequence[str]]
    start_times: Callable[[], Numbers]

    def __len__(self) -> int:
        return len(self.kind)

    @classmethod
    def of(cls, kinds: Kinds, records: Sequence["Record"]) -> Self:
        """The records (one at least) as a batch, without figures that are not what they say."""
        request_ids, trace_ids, names, starts, *figures = zip(*records, strict=True)
        kind = np.fromiter(map(kinds.number, names), np.int64, len(records))
        numbers = Columns(*map(_figures, figures))
        started = np.array(starts, np.float64)
        return cls(
            kinds=kinds,
            kind=kind,
            numbers=normalised(numbers, kinds.traits_of(kind)),
            request_ids=lambda: request_ids,
            trace_ids=lambda: trace_ids,
            start_times=lambda: started,
        )

    def numbered_by(self, kinds: Kinds) -> Self:
        """The same, with the numbers that its kinds have in another table."""
        if self.kinds is kinds:
            return self
        present, places = np.unique(self.kind, return_inverse=True)
        numbers = [kinds.number(self.kinds[number]) for number in present.tolist()]
        return replace(self, kinds=kinds, kind=np.array(numbers, np.int64)[places])

    def take(self, rows: Indices) -> Self:
        """The given rows only."""
        chosen = rows.tolist()
        return type(self)(
            kinds=self.kinds,
            kind=self.kind[rows],
            numbers=self.numbers.take(rows),
            request_ids=lambda: _taken(self.request_ids(), chosen),
            trace_ids=lambda: _taken(self.trace_ids(), chosen),
            start_times=lambda: self.start_times()[rows],
        )

    def records(self) -> Iterator["Record"]:
        """The same, one by one, for people to read."""
        columns = [getattr(self.numbers, name).tolist() for name in COLUMN_NAMES]
        texts = (self.request_ids(), self.trace_ids(), self.start_times().tolist())
        for number, request_id, trace_id, start, *values in zip(
            self.kind.tolist(), *texts, *columns, strict=True
        ):
            known = [None if value != value else value for value in (start, *values)]
            yield Record(request_id, trace_id, self.kinds[number], *known)


def _taken(column: Sequence[str], rows: Sequence[int]) -> Sequence[str]:
    return [column[row] for row in rows]


def _figures(column: Sequence[float | None]) -> Numbers:
    """Figures, NaN for those that would spoil every sum they are added to."""
    if column.count(None) == len(column):  # As most are; numpy takes long to look at each None.
        return np.full(len(column), np.nan)
    figures = np.array(column, np.float64)
    return np.where(figures <= LARGEST_FIGURE, figures, np.nan)


class Record(NamedTuple):
    """One request; None is an unknown number. Units are those of `Columns`, times Unix seconds."""

    request_id: str
    trace_id: str
    kind: Kind
    start_time: float | None = None
    latency: float | None = None
    time_to_first_token: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    total_tokens: float | None = None
    cached_input_tokens: float | None = None
    cache_creation_input_tokens: float | None = None
    reasoning_output_tokens: float | None = None
    images: float | None = None
    seconds: float | None = None
    characters: float | None = None
    cost: float | None = None
    upstream_time: float | None = None


def normalised(columns: Columns, traits: NDArray[np.uint8]) -> Columns:
    """The columns with every figure mended or taken out that is not what its name says.

    Gateways write zero, -1, the total or the original answer's usage where they have nothing to
    say:

    - a time to first token is one only for a streamed success, below the whole latency, and not
      where the gateway's cache answered;
    - tokens, units and cost of an answer from the cache were not generated again;
    - zero input tokens mean that nobody counted, and then zero output tokens mean the same;
    - nothing is negative.

    Some pass on what a provider calls input, which may be without the cached tokens, or output
    without the reasoning. Formats tell of those that always do. For the rest, a part that is
    greater than the whole was not in it, and a total is no less than input and output together.

    Args:
        traits: shape (records,), bits of `Kinds.traits`.
    """
    from_cache = (traits & CACHE_HIT) != 0
    latency = np.where(columns.latency >= 0, columns.latency, np.nan)
    ttft = columns.time_to_first_token
    is_ttft = (traits & (SUCCEEDED | STREAMED | CACHE_HIT)) == SUCCEEDED | STREAMED
    is_ttft &= (ttft > 0) & (ttft < latency)
    has_input = ~from_cache & (columns.input_tokens > 0)
    has_output = ~from_cache & (columns.output_tokens > 0)
    has_output |= has_input & (columns.output_tokens == 0)
    input_tokens = _whole(
        columns.input_tokens, columns.cached_input_tokens, columns.cache_creation_input_tokens
    )
    input_tokens = np.where(has_input, input_tokens, np.nan)
    output_tokens = _whole(columns.output_tokens, columns.reasoning_output_tokens)
    output_tokens = np.where(has_output, output_tokens, np.nan)
    both = np.nan_to_num(input_tokens) + np.nan_to_num(output_tokens)
    total = np.fmax(columns.total_tokens, both)

    def known(column: Numbers, where: NDArray[np.bool_]) -> Numbers:
        return np.where(where & (column >= 0), column, np.nan)

    return Columns(
        latency=latency,
        time_to_first_token=np.where(is_ttft, ttft, np.nan),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=np.where(~from_cache & (total > 0), total, np.nan),
        cached_input_tokens=known(columns.cached_input_tokens, has_input),
        cache_creation_input_tokens=known(columns.cache_creation_input_tokens, has_input),
        reasoning_output_tokens=known(columns.reasoning_output_tokens, has_output),
        images=known(columns.images, ~from_cache),
        seconds=known(columns.seconds, ~from_cache),
        characters=known(columns.characters, ~from_cache),
        cost=known(columns.cost, ~from_cache),
        upstream_time=known(columns.upstream_time, ~from_cache),
    )


def _whole(figure: Numbers, *parts: Numbers) -> Numbers:
    """The figure, together with its parts where it cannot have them in it."""
    of_parts = sum(np.where(part > 0, part, 0.0) for part in parts)
    return np.where(figure < of_parts, figure + of_parts, figure)
