"""A mapping, compiled once into a decoder: blocks of lines in, batches of records out.

Columns of names are zipped to raw keys, and a raw key becomes a `Kind` once, the first time it is met;
columns of figures become arrays. So a line costs what msgspec and a few loops in C cost.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

import numpy as np

from exporter.formats import values
from exporter.formats.lines import Column, JsonLines, Lines, LogfmtLines, TextLines
from exporter.formats.paths import parse_path
from exporter.formats.readers import Compiler, RawKey
from exporter.formats.spec import FormatSpec
from exporter.record import (
    CLIENT_ABORTED,
    COLUMN_NAMES,
    SUCCEEDED,
    Batch,
    Columns,
    Indices,
    Kind,
    Kinds,
    Numbers,
    normalised,
)

BAD_VALUE = "bad_value"
NO_STATUS = "no_status"

MOST_RAW_KEYS = 65_536
"""Raw keys that are remembered; a client who invents names must not fill the memory."""

CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client went away before there was one: nginx's, for want of a standard."""

_SKIPPED, _STATUSLESS = -1, -2


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a block of lines held.

    Attributes:
        lines: all that are not blank.
        skipped: lines that are no model request.
        rejected: lines that can't be read, by reason.
    """

    batch: Batch
    lines: int
    skipped: int
    rejected: Counter[str]


class Decoder:
    """One format, as one source reads it.

    Args:
        kinds: the table that batches point into, shared by all decoders of a process.
        attributes: names of the extra attributes to read, in order.
        zone: of times in the log that name none.
    """

    def __init__(
        self, spec: FormatSpec, kinds: Kinds, attributes: Sequence[str] = (), zone: tzinfo = UTC
    ) -> None:
        self._spec = spec
        self._kinds = kinds
        self._generation = kinds.generation
        self._resolved: dict[RawKey, int] = {}
        compiler = Compiler(spec, zone)
        fields = spec.fields
        self._kind_of = _KindReader(spec, compiler, attributes)
        self._request_id = compiler.texts(fields.request_id)
        self._trace_id = compiler.texts(fields.trace_id)
        self._figures = [compiler.figures(getattr(fields, name)) for name in COLUMN_NAMES]
        self._starts = compiler.instants(fields.start_time)
        self._ends = compiler.instants(fields.end_time)
        self._lines = _lines(spec, compiler)

    def decode(self, data: bytes) -> Decoded:
        """The records in whole lines, each ended by a newline."""
        rejected: Counter[str] = Counter()
        rows = self._lines.rows(data, rejected)
        lines = len(rows) + rejected.total()
        columns = self._lines.columns(rows)
        kind = self._kinds_of(columns, len(rows))
        broken: set[int] = set()
        numbers = Columns(*(read(columns, len(rows), broken) for read in self._figures))
        is_request = kind >= 0
        if not is_request.all():
            rejected[NO_STATUS] += int((kind == _STATUSLESS).sum())
        if broken:
            is_broken = np.zeros(len(rows), np.bool_)
            is_broken[list(broken)] = True
            rejected[BAD_VALUE] += int((is_broken & is_request).sum())
            is_request &= ~is_broken
        if not is_request.all():
            kept = np.flatnonzero(is_request)
            kind, numbers = kind[kept], numbers.take(kept)
            columns = [[column[row] for row in kept.tolist()] for column in columns]
        skipped = lines - len(kind) - rejected.total()
        return Decoded(self._batch(kind, numbers, columns), lines, skipped, +rejected)

    def _kinds_of(self, columns: list[Column], rows: int) -> Indices:
        """Each row's kind, `_SKIPPED` or `_STATUSLESS`; shape (rows,)."""
        if self._generation != self._kinds.generation or len(self._resolved) > MOST_RAW_KEYS:
            self._resolved.clear()
            self._generation = self._kinds.generation
        resolved = self._resolved
        keys = self._kind_of.keys.zipped(columns, rows)
        try:
            return np.array([resolved[key] for key in keys], np.int64)
        except KeyError:
            return np.array([self._number(key) for key in keys], np.int64)

    def _number(self, key: RawKey) -> int:
        number = self._resolved.get(key)
        if number is None:
            kind = self._kind_of(key)
            number = kind if isinstance(kind, int) else self._kinds.number(kind)
            self._resolved[key] = number
        return number

    def _batch(self, kind: Indices, numbers: Columns, columns: list[Column]) -> Batch:
        traits = self._kinds.traits_of(kind)
        if len(kind):
            numbers = normalised(self._whole_tokens(numbers, (traits & SUCCEEDED) == 0), traits)

        def start_times() -> Numbers:
            starts = self._starts(columns, len(kind))
            before_end = self._ends(columns, len(kind)) - np.nan_to_num(numbers.latency)
            return np.where(np.isnan(starts), before_end, starts)

        return Batch(
            kinds=self._kinds,
            kind=kind,
            numbers=numbers,
            request_id=self._request_id(columns, len(kind)),
            trace_id=self._trace_id(columns, len(kind)),
            start_times=start_times,
        )

    def _whole_tokens(self, numbers: Columns, failed: np.ndarray[Any, Any]) -> Columns:
        """Tokens as a record has them: the input with its cached, the output with its reasoning part."""
        spec = self._spec
        if spec.input_excludes_cache:
            cached = np.nan_to_num(numbers.cached_input_tokens)
            created = np.nan_to_num(numbers.cache_creation_input_tokens)
            numbers = replace(numbers, input_tokens=numbers.input_tokens + cached + created)
        if spec.output_excludes_reasoning:
            reasoning = np.nan_to_num(numbers.reasoning_output_tokens)
            numbers = replace(numbers, output_tokens=numbers.output_tokens + reasoning)
        if not spec.failures_have_usage:
            numbers = replace(
                numbers,
                input_tokens=np.where(failed, np.nan, numbers.input_tokens),
                output_tokens=np.where(failed, np.nan, numbers.output_tokens),
            )
        return numbers


def _lines(spec: FormatSpec, compiler: Compiler) -> Lines:
    if spec.lines == "text":
        return TextLines(spec.pattern or "", compiler.paths)
    if spec.lines == "logfmt":
        return LogfmtLines(spec.pattern or "", compiler.paths)
    embedded = [parse_path(path, flat=spec.flat_keys) for path in spec.embedded]
    return JsonLines(compiler.paths, embedded)


class _KindReader:
    """The names of a record, from the raw key of its line."""

    def __init__(self, spec: FormatSpec, compiler: Compiler, attributes: Sequence[str]) -> None:
        fields = spec.fields
        self.keys = keys = compiler.keys()
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
        """The kind; `_SKIPPED` where the line is no model request; `_STATUSLESS` without a status."""
        if self._request_if and not any(holds(key) for holds in self._request_if):
            return _SKIPPED
        if any(holds(key) for holds in self._skip_if):
            return _SKIPPED
        error_type = _name(self._error_type(key))
        status_code = _status(self._status_code(key))
        if status_code == CLIENT_CLOSED_REQUEST or (not status_code and error_type == CLIENT_ABORTED):
            status_code, error_type = CLIENT_CLOSED_REQUEST, CLIENT_ABORTED
        if not status_code:
            return _STATUSLESS
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
    return "" if value is None else values.text(value)


def _flag(value: object) -> bool:
    return value is not None and values.text(value).lower() in ("true", "1", "yes", "on")


def _status(value: object) -> int:
    """The status code, 0 for what is none."""
    code = values.text(value) if value is not None else ""
    return int(code) if len(code) == 3 and code.isdecimal() and "100" <= code < "600" else 0
