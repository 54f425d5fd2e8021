"""The fields of a mapping as readers of columns.

Whatever a mapping refers to becomes a column, once. Names are few and repeat, so the columns of
names are zipped to raw keys, and a field is read from each raw key once; figures and instants are
read from whole columns.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from exporter.formats import values
from exporter.formats.fields import Condition, Number, Scalar, Text, Time
from exporter.formats.lines import SCALARS, Column, Use, Wanted
from exporter.formats.operations import OPERATIONS
from exporter.formats.paths import Path, parse_path
from exporter.formats.spec import FormatSpec
from exporter.record import Numbers

RawKey: TypeAlias = tuple[Any, ...]
NameReader: TypeAlias = Callable[[RawKey], Scalar | None]
Test: TypeAlias = Callable[[RawKey], bool]
FigureReader: TypeAlias = Callable[[Sequence[Column], int], Numbers]
TextReader: TypeAlias = Callable[[Sequence[Column], int], Sequence[str]]

MOST_REMEMBERED = 4096
"""Values whose reading is remembered: many more than a gateway has, few enough to keep."""


class Compiler:
    """Compiles the fields of one mapping.

    Attributes:
        wanted: the columns that the readers expect, in order.
    """

    def __init__(self, spec: FormatSpec, zone: tzinfo) -> None:
        self._spec = spec
        self._zone = zone
        self.wanted: list[Wanted] = []

    def path(self, text: str) -> Path:
        """A path of this mapping."""
        return (text,) if self._spec.has_flat_paths else parse_path(text)

    def column(self, path: str, use: Use) -> int:
        """The number of the column of what stands at a path."""
        wanted = Wanted(self.path(path), use)
        if wanted not in self.wanted:
            self.wanted.append(wanted)
        return self.wanted.index(wanted)

    def absent(self, also: Sequence[Scalar] = ()) -> values.AbsentValues:
        """What marks an absent value, in this mapping and in one field of it."""
        return values.AbsentValues([*self._spec.absent, *also])

    def texts(self, field: Text | None) -> TextReader:
        """A column of texts, "" where absent."""
        if field is None:
            return lambda columns, rows: [""] * rows
        if (paths := _plain_paths(field)) is not None:
            return self._plain_texts(paths)
        keys = Keys(self)
        read = keys.reader(field)

        def texts(columns: Sequence[Column], rows: int) -> Sequence[str]:
            found = map(read, keys.zipped(columns, rows))
            return ["" if value is None else values.name(value) for value in found]

        return texts

    def _plain_texts(self, paths: Sequence[str]) -> TextReader:
        """Of what stands at the first of some paths: ids, which are in every line."""
        numbers, absent = [self.column(path, Use.NAME) for path in paths], self.absent()

        def texts(columns: Sequence[Column], rows: int) -> Sequence[str]:
            found = values.names(columns[numbers[0]], absent)
            for number in numbers[1:]:
                if "" not in found:
                    break
                others = values.names(columns[number], absent)
                found = [text or other for text, other in zip(found, others, strict=True)]
            return found

        return texts

    def figures(self, field: Number) -> FigureReader:
        """A column of figures in the record's unit, NaN where absent, infinite where broken."""
        if field.path is not None:
            read = self._figures_at(field.path, field)
        else:
            read = _scaled(self._figures_from(field), field.scale)
        if not field.when:
            return read
        conditions = [self.condition(condition) for condition in field.when]

        def figures(columns: Sequence[Column], rows: int) -> Numbers:
            holds = np.array([test(columns[column]) for column, test in conditions], np.bool_)
            return np.where(holds.all(axis=0), read(columns, rows), np.nan)

        return figures

    def _figures_from(self, field: Number) -> FigureReader:
        """Of a field that has no path of its own."""
        if field.between:
            start, end = map(self.instants, field.between)
            return lambda columns, rows: end(columns, rows) - start(columns, rows)
        if field.divide:
            return _quotient(*map(self.figures, field.divide))
        if field.add:
            return _sum([self.figures(part) for part in field.add])
        if field.first:
            return _first([self.figures(choice) for choice in field.first])
        column = self.column(field.count or "", Use.COUNT)
        return lambda columns, rows: np.array(
            [len(value) if isinstance(value, list) else np.nan for value in columns[column]],
            np.float64,
        )

    def _figures_at(self, path: str, field: Number) -> FigureReader:
        column = self.column(path, Use.FIGURE)
        scale = values.SECONDS[field.unit] * field.scale
        absent, items = self.absent(field.absent), field.items

        def figures(columns: Sequence[Column], rows: int) -> Numbers:
            found = columns[column]
            if items:
                found = [values.list_item(value, items) for value in found]
            return values.figures(found, scale, absent)

        return figures

    def condition(self, condition: Condition) -> tuple[int, Callable[[Column], Column]]:
        """The number of a condition's column, and what says which of its values fulfil it."""
        absent = self.absent().names
        if condition.present is not None:
            wanted = condition.present
            return self.column(condition.path, Use.PRESENCE), lambda column: [
                (not isinstance(value, SCALARS) or value not in absent) is wanted
                for value in column
            ]
        if condition.match is not None:
            pattern = re.compile(condition.match)
            holds = _remembering(
                lambda value: value not in absent and bool(pattern.search(values.name(value)))
            )
        else:
            accepted = frozenset(map(values.name, condition.is_ or ()))
            holds = _remembering(
                lambda value: value not in absent and values.name(value) in accepted
            )
        return self.column(condition.path, Use.NAME), holds

    def instants(self, field: Time | None) -> FigureReader:
        """A column of Unix seconds, NaN where absent."""
        if field is None:
            return lambda columns, rows: np.full(rows, np.nan)
        column, zone, unit = self.column(field.path, Use.NAME), self._zone, field.unit
        return lambda columns, rows: values.instants(columns[column], zone, unit)


def _scaled(read: FigureReader, scale: float) -> FigureReader:
    if scale == 1.0:
        return read

    def figures(columns: Sequence[Column], rows: int) -> Numbers:
        found = read(columns, rows)
        return np.where(np.isinf(found), np.inf, values.scaled(found, scale))

    return figures


def _quotient(over: FigureReader, under: FigureReader) -> FigureReader:
    def figures(columns: Sequence[Column], rows: int) -> Numbers:
        divisor = under(columns, rows)
        divisor[divisor == 0] = np.nan
        broken = np.isinf(divisor)
        divisor[broken] = 1.0
        return np.where(broken, np.inf, np.rint(over(columns, rows) / divisor))

    return figures


def _sum(parts: Sequence[FigureReader]) -> FigureReader:
    def figures(columns: Sequence[Column], rows: int) -> Numbers:
        known = np.array([part(columns, rows) for part in parts])
        return np.where(np.isnan(known).all(axis=0), np.nan, np.nansum(known, axis=0))

    return figures


def _first(choices: Sequence[FigureReader]) -> FigureReader:
    def figures(columns: Sequence[Column], rows: int) -> Numbers:
        found = choices[0](columns, rows)
        for choice in choices[1:]:
            absent = np.isnan(found)
            if not absent.any():
                break
            found = np.where(absent, choice(columns, rows), found)
        return found

    return figures


class Keys:
    """The columns that are zipped to raw keys, and the readers of these.

    A pattern means that the value may be anything: an id, a path, an error's text. So it is applied
    to the column, and what it found is in the raw key; else each line would have one of its own.
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._columns: list[tuple[int, Callable[[Column], Column] | None]] = []

    def _slot(self, column: int, reduced: Callable[[Column], Column] | None = None) -> int:
        if (column, reduced) not in self._columns:
            self._columns.append((column, reduced))
        return self._columns.index((column, reduced))

    def zipped(self, columns: Sequence[Column], rows: int) -> Iterable[RawKey]:
        """One raw key a row."""
        if not self._columns:
            return [()] * rows
        parts = (
            columns[column] if reduced is None else reduced(columns[column])
            for column, reduced in self._columns
        )
        return zip(*parts, strict=True)

    def reader(self, field: Text | None) -> NameReader:
        """The field's value in a raw key, None where absent."""
        if field is None:
            return lambda key: None
        read = self._origin(field)
        when = self.all(field.when)
        default = field.default
        if not field.when and default is None:
            return read

        def value(key: RawKey) -> Scalar | None:
            found = read(key) if when(key) else None
            return default if found is None else found

        return value

    def _origin(self, field: Text) -> NameReader:
        translate = self._translation(field)
        if field.path is not None:
            column = self._compiler.column(field.path, Use.NAME)
            if field.extract is not None or field.match is not None:
                return itemgetter(self._slot(column, _remembering(translate)))
            slot = self._slot(column)
            return lambda key: translate(key[slot])
        if field.value is not None:
            constant = field.value
            return lambda key: constant
        if field.present is not None:
            test = self.test(Condition(path=field.present, present=True))
            return lambda key: translate(test(key) or None)
        choices = [self.reader(choice) for choice in field.first or ()]
        return lambda key: translate(
            next((found for read in choices if (found := read(key)) is not None), None)
        )

    def _translation(self, field: Text) -> Callable[[Scalar | None], Scalar | None]:
        """What becomes of a found value by `absent`, `extract`, `map` and `match`."""
        absent = self._compiler.absent(field.absent).names
        extract = re.compile(field.extract) if field.extract is not None else None
        known = field.map or {}
        rules = _rules(field)
        translates = field.map is not None or field.match is not None

        def translation(value: Scalar | None) -> Scalar | None:
            if value in absent:
                return None
            if extract is not None:
                match = extract.search(values.name(value))
                value = match[min(1, extract.groups)] if match else None
            if value is None or not translates:
                return value
            name = values.name(value)
            if name in known:
                return known[name]
            return next((result for rule, result in rules if rule.search(name)), None)

        return translation

    def all(self, conditions: Sequence[Condition]) -> Test:
        """Whether a line with this raw key fulfils all of the conditions."""
        tests = [self.test(condition) for condition in conditions]
        return lambda key: all(test(key) for test in tests)

    def test(self, condition: Condition) -> Test:
        """Whether a line with this raw key fulfils the condition."""
        return itemgetter(self._slot(*self._compiler.condition(condition)))


def _plain_paths(field: Text) -> Sequence[str] | None:
    """The paths of a field that is nothing but a path, or the first of some."""
    choices = field.first or () if field.model_fields_set == {"first"} else (field,)
    paths = [choice.path for choice in choices if choice.model_fields_set == {"path"}]
    return [path for path in paths if path] if len(paths) == len(choices) else None


def _rules(field: Text) -> Sequence[tuple[re.Pattern[str], Scalar]]:
    if field.match == "operations":
        return [(re.compile(pattern, re.IGNORECASE), name) for pattern, name in OPERATIONS]
    return [(re.compile(rule.pattern), rule.value) for rule in field.match or ()]


class Memory(dict[Scalar | None, Any]):
    """Remembers what a function makes of values, unless they are many or long."""

    def __init__(self, function: Callable[[Scalar | None], Any]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, value: Scalar | None) -> Any:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        result = self._function(value)
        if not isinstance(value, str) or len(value) <= values.LONGEST_NAME:
            self[value] = result
        return result


def _remembering(function: Callable[[Scalar | None], Any]) -> Callable[[Column], Column]:
    """The function for each value of a column."""
    memory = Memory(function)
    return lambda column: list(map(memory.__getitem__, column))
