"""A mapping, compiled once into a decoder: blocks of lines in, batches of records out.

Columns of names are zipped to raw keys, and a raw key becomes a `Kind` once, the first time it is
met; columns of figures become arrays. So a line costs what msgspec and a few loops in C cost.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.formats import values
from exporter.formats.json_lines import JsonLines
from exporter.formats.lines import (
    BAD_VALUE,
    NO_STATUS,
    Column,
    Lines,
    Rejected,
    last_lines,
    pieces,
)
from exporter.formats.readers import Compiler, Keys, RawKey
from exporter.formats.spec import FormatSpec
from exporter.formats.text_lines import LogfmtLines, TextLines
from exporter.record import (
    CLIENT_ABORTED,
    COLUMN_NAMES,
    COUNTED_COLUMNS,
    SUCCEEDED,
    Batch,
    Columns,
    Indices,
    Kind,
    Kinds,
    Numbers,
    normalised,
)

PIECE = 256 << 10
"""Bytes decoded at once: what was made of them is still in the processor's cache when it is read,
and its memory when it is written for the next ones."""

ENOUGH_ROWS = 256
"""Rows whose columns are worth making: of fewer, to begin a column costs more than to fill it."""

MOST_RAW_KEYS = 65_536
"""Raw keys that are remembered; a client who invents names must not fill the memory."""

CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client went away before there was one: nginx's, in want of another."""

_SKIPPED, _STATUSLESS = -1, -2


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a block of lines held.

    Attributes:
        lines: all that are not blank; `len(batch) + skipped + rejected.total()`.
        skipped: lines that are no model request.
        rejected: lines that cannot be read, by reason.
        detailed: makes a batch of so many of the newest lines, if `batch` lacks details.
    """

    batch: Batch
    lines: int
    skipped: int
    rejected: Counter[str]
    detailed: Callable[[int], Batch] | None = None

    def newest(self, count: int) -> Batch:
        """The newest records, nearly `count` of them at least, with all details."""
        return self.batch if self.detailed is None else self.detailed(count)


class Decoder:
    """One format, as one source reads it.

    Args:
        kinds: the table that batches point into, shared by all decoders of a process.
        attributes: names of the extra attributes to read, in order.
        zone: of times in the log that name none.
        details: whether ids, times and totals of all records are wanted. Without, they are read
            of the newest only: to series they are of no use, and take an eighth of a line's time.
            So a line in which nothing else is wrong counts then, and is rejected with them.
    """

    def __init__(
        self,
        spec: FormatSpec,
        kinds: Kinds,
        attributes: Sequence[str] = (),
        zone: tzinfo = UTC,
        *,
        details: bool = True,
    ) -> None:
        self._detailed = None if details else Decoder(spec, kinds, attributes, zone)
        self._spec = spec
        self._kinds = kinds
        self._generation = kinds.generation
        self._resolved = _Resolved(self._resolve)
        compiler = Compiler(spec, zone)
        fields = spec.fields
        self._keys = Keys(compiler)
        self._kind_of = _KindReader(spec, self._keys, attributes)
        self._request_id = compiler.texts(fields.request_id if details else None)
        self._trace_id = compiler.texts(fields.trace_id if details else None)
        self._figures = {
            name: compiler.figures(field)
            for name in (COLUMN_NAMES if details else COUNTED_COLUMNS)
            if (field := getattr(fields, name)) is not None
        }
        self._start = compiler.instants(fields.start_time if details else None)
        self._end = compiler.instants(fields.end_time if details else None)
        self._lines = _lines(spec, compiler)
        self._wanted = compiler.wanted

    def decode(self, data: bytes) -> Decoded:
        """The records in whole lines, each ended by a newline."""
        rejected: Counter[str] = Counter()
        rows, columns = self._read(data, rejected)
        lines = rows + rejected.total()
        kind = self._kinds_of(columns, rows)
        figures = {name: read(columns, rows) for name, read in self._figures.items()}
        is_record = kind >= 0
        is_sound = ~np.any([np.isinf(column) for column in figures.values()], axis=0)
        if not (is_record & is_sound).all():
            rejected[NO_STATUS] += int((kind == _STATUSLESS).sum())
            rejected[BAD_VALUE] += int((is_record & ~is_sound).sum())
            rejected = +rejected
            kept = np.flatnonzero(is_record & is_sound)
            kind, figures = kind[kept], {name: figures[name][kept] for name in figures}
            columns = [[column[row] for row in kept.tolist()] for column in columns]
        skipped = lines - len(kind) - rejected.total()
        if self._detailed:
            columns = ()  # Nobody reads them any more: the next block may have their memory.
        batch = self._batch(kind, figures, columns)
        detailed = partial(self._detailed.newest, data) if self._detailed else None
        return Decoded(batch, lines, skipped, rejected, detailed)

    def newest(self, data: bytes, count: int) -> Batch:
        """The records in the last `count` lines."""
        return self.decode(last_lines(data, count)).batch

    def _read(self, data: bytes, rejected: Counter[str]) -> tuple[int, Sequence[Column]]:
        """How many lines can be read, and the columns of them."""
        columns: list[list[Any]] = [[] for _ in self._wanted]
        count = 0
        rows: list[Any] = []
        for piece in pieces(data, PIECE):
            rows += self._lines.rows(piece, rejected)
            if len(rows) >= ENOUGH_ROWS:
                _append(columns, self._lines.columns(rows))
                count += len(rows)
                rows = []
        _append(columns, self._lines.columns(rows))
        return count + len(rows), columns

    def explain(self, line: bytes) -> str:
        """For a person: why a line that is not blank is rejected; holds nothing of the line."""
        try:
            row = self._lines.row(line)
        except Rejected as error:
            return error.hint
        columns = self._lines.columns([row])
        if self._kinds_of(columns, 1)[0] == _STATUSLESS:
            return "fields.status_code finds no code from 100 to 599"
        broken = [name for name, read in self._figures.items() if np.isinf(read(columns, 1)[0])]
        places = " and ".join(f"fields.{name}" for name in broken)
        return f"{places}: no figure, or an absurd one"

    def _kinds_of(self, columns: Sequence[Column], rows: int) -> Indices:
        """Each row's kind, `_SKIPPED` or `_STATUSLESS`; shape (rows,)."""
        if self._generation != self._kinds.generation or len(self._resolved) > MOST_RAW_KEYS:
            self._resolved.clear()
            self._generation = self._kinds.generation
        keys = self._keys.zipped(columns, rows)
        return np.fromiter(map(self._resolved.__getitem__, keys), np.int64, rows)

    def _resolve(self, key: RawKey) -> int:
        kind = self._kind_of(key)
        return kind if isinstance(kind, int) else self._kinds.number(kind)

    def _batch(
        self, kind: Indices, figures: Mapping[str, Numbers], columns: Sequence[Column]
    ) -> Batch:
        records = len(kind)
        unknown = np.full(records, np.nan)
        numbers = Columns(**{name: figures.get(name, unknown) for name in COLUMN_NAMES})
        traits = self._kinds.traits_of(kind)
        numbers = normalised(self._with_whole_tokens(numbers, (traits & SUCCEEDED) == 0), traits)

        def start_times() -> Numbers:
            starts = self._start(columns, records)
            before_end = self._end(columns, records) - np.nan_to_num(numbers.latency)
            starts = np.where(np.isnan(starts), before_end, starts)
            return np.where(starts > 0, starts, np.nan)

        return Batch(
            kinds=self._kinds,
            kind=kind,
            numbers=numbers,
            request_ids=lambda: self._request_id(columns, records),
            trace_ids=lambda: self._trace_id(columns, records),
            start_times=start_times,
        )

    def _with_whole_tokens(self, numbers: Columns, failed: NDArray[np.bool_]) -> Columns:
        """Tokens as a record has them: the input with its cached, the output with its reasoning."""
        spec = self._spec
        input_tokens, output_tokens = numbers.input_tokens, numbers.output_tokens
        total_tokens = numbers.total_tokens
        if spec.input_excludes_cache:
            cached = np.nan_to_num(numbers.cached_input_tokens)
            created = np.nan_to_num(numbers.cache_creation_input_tokens)
            input_tokens = input_tokens + cached + created
        if spec.output_excludes_reasoning:
            output_tokens = output_tokens + np.nan_to_num(numbers.reasoning_output_tokens)
        if spec.input_excludes_cache or spec.output_excludes_reasoning:
            total_tokens = input_tokens + output_tokens
        if not spec.failures_have_usage:
            input_tokens, output_tokens, total_tokens = (
                np.where(failed, np.nan, column)
                for column in (input_tokens, output_tokens, total_tokens)
            )
        return replace(
            numbers,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=total_tokens,
        )


class _Resolved(dict[RawKey, int]):
    """Kinds' numbers by raw key; those with long names are looked up anew each time."""

    def __init__(self, resolve: Callable[[RawKey], int]) -> None:
        super().__init__()
        self._resolve = resolve

    def __missing__(self, key: RawKey) -> int:
        number = self._resolve(key)
        if all(len(part) <= values.LONGEST_NAME for part in key if isinstance(part, str)):
            self[key] = number
        return number


def _append(columns: Sequence[list[Any]], more: Sequence[Column]) -> None:
    for column, values_ in zip(columns, more, strict=True):
        column.extend(values_)


def _lines(spec: FormatSpec, compiler: Compiler) -> Lines:
    if spec.lines == "text":
        return TextLines(spec.pattern or "", compiler.wanted)
    if spec.lines == "logfmt":
        return LogfmtLines(spec.pattern, compiler.wanted)
    roots = {
        name: [compiler.path(place) for place in places] for name, places in spec.roots.items()
    }
    return JsonLines(compiler.wanted, roots, [compiler.path(path) for path in spec.embedded])


class _KindReader:
    """The names of a record, from the raw key of its line."""

    def __init__(self, spec: FormatSpec, keys: Keys, attributes: Sequence[str]) -> None:
        fields = spec.fields
        self._request_if = [keys.test(condition) for condition in spec.request_if]
        self._skip_if = [keys.test(condition) for condition in spec.skip_if]
        self._model = keys.reader(fields.model)
        self._response_model = keys.reader(fields.response_model)
        self._provider = keys.reader(fields.provider)
        self._operation = keys.reader(fields.operation)
        self._status_code = keys.reader(fields.status_code)
        self._error_type = keys.reader(fields.error_type)
        self._streamed = keys.reader(fields.streamed)
        self._cache_hit = keys.reader(fields.cache_hit)
        self._finish_reason = keys.reader(fields.finish_reason)
        self._currency = keys.reader(fields.currency)
        self._default_currency = "USD" if fields.cost else ""
        self._attributes = [keys.reader(spec.attributes.get(name)) for name in attributes]

    def __call__(self, key: RawKey) -> Kind | int:
        """The kind; `_SKIPPED` where the line is no model request; `_STATUSLESS`."""
        if self._request_if and not any(holds(key) for holds in self._request_if):
            return _SKIPPED
        if any(holds(key) for holds in self._skip_if):
            return _SKIPPED
        error_type = _name(self._error_type(key))
        status_code = _status(self._status_code(key))
        if not status_code and error_type == CLIENT_ABORTED:
            status_code = CLIENT_CLOSED_REQUEST
        if not status_code:
            return _STATUSLESS
        if status_code == CLIENT_CLOSED_REQUEST:
            error_type = CLIENT_ABORTED
        if not error_type and not 200 <= status_code < 300:
            error_type = str(status_code)
        return Kind(
            model=_name(self._model(key)),
            response_model=_name(self._response_model(key)),
            provider=_name(self._provider(key)),
            operation=_name(self._operation(key)),
            status_code=status_code,
            error_type=error_type,
            streamed=_flag(self._streamed(key)),
            cache_hit=_flag(self._cache_hit(key)),
            finish_reason=_name(self._finish_reason(key)),
            attributes=tuple(_name(read(key)) for read in self._attributes),
            currency=_name(self._currency(key)) or self._default_currency,
        )


def _name(value: object) -> str:
    return "" if value is None else values.name(value)


def _flag(value: object) -> bool:
    return _name(value).lower() in ("true", "1", "yes", "on")


def _status(value: object) -> int:
    """The status code, 0 for what is none."""
    code = _name(value)
    return int(code) if re.fullmatch("[1-5][0-9]{2}", code) else 0
