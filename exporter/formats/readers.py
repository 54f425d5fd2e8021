"""The fields of a mapping as readers of columns.

Whatever a mapping refers to becomes a column, once. A reader is a function that has its columns' indices
bound: of a row's raw key for names, of whole columns for figures and times.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from typing import Any, TypeAlias

import numpy as np

from exporter.formats import values
from exporter.formats.lines import Column
from exporter.formats.paths import Path, parse_path
from exporter.formats.spec import Condition, FormatSpec, Number, Scalar, Text, Time
from exporter.record import Numbers

RawKey: TypeAlias = tuple[Any, ...]
NameReader: TypeAlias = Callable[[RawKey], Scalar | None]
FigureReader: TypeAlias = Callable[[Sequence[Column], int, set[int]], Numbers]
InstantReader: TypeAlias = Callable[[Sequence[Column], int], Numbers]
TextReader: TypeAlias = Callable[[Sequence[Column], int], Sequence[str]]


class Compiler:
    """Compiles the fields of one mapping.

    Attributes:
        paths: of the columns that the readers expect, in order.
    """

    def __init__(self, spec: FormatSpec, zone: tzinfo) -> None:
        self._spec = spec
        self._zone = zone
        self._absent = spec.absent
        self.paths: list[Path] = []

    def keys(self) -> "Keys":
        """An empty raw key, to which name readers add the columns they need."""
        return Keys(self)

    def columns(self, path: str) -> list[int]:
        """The columns of a path: one, or one for each place where its root may stand."""
        return [self._column(parse_path(place, flat=self._spec.flat_keys)) for place in self._places(path)]

    def _places(self, path: str) -> Iterable[str]:
        for root, places in self._spec.roots.items():
            rest = path.removeprefix(root)
            if rest != path and rest[:1] in (".", "["):
                return [place + rest for place in places]
        return [path]

    def _column(self, path: Path) -> int:
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path)

    def absent(self, also: Sequence[Scalar] = ()) -> values.AbsentValues:
        """What marks an absent value, in this mapping and in one field of it."""
        return values.AbsentValues([*self._absent, *also])

    def texts(self, field: Text | None) -> TextReader:
        """A column of texts, "" where absent."""
        keys = self.keys()
        read = keys.reader(field)

        def column(columns: Sequence[Column], rows: int) -> Sequence[str]:
            found = map(read, keys.zipped(columns, rows))
            return ["" if value is None else values.text(value) for value in found]

        return column

    def figures(self, field: Number | None) -> FigureReader:
        """A column of figures in the record's unit, NaN where absent."""
        if field is None:
            return lambda columns, rows, broken: np.full(rows, np.nan)
        if field.between:
            start, end = map(self.instants, field.between)
            return lambda columns, rows, broken: end(columns, rows) - start(columns, rows)
        if field.divide:
            return _quotient(*map(self.figures, field.divide))
        if field.add:
            return _sum([self.figures(part) for part in field.add])
        if field.first:
            return _first([self.figures(choice) for choice in field.first])
        return _first([self._figures_at(column, field) for column in self.columns(field.path or "")])

    def _figures_at(self, column: int, field: Number) -> FigureReader:
        scale = values.SECONDS[field.unit] * field.scale
        absent = self.absent(field.absent)
        items = field.items

        def read(columns: Sequence[Column], rows: int, broken: set[int]) -> Numbers:
            found = columns[column]
            if items:
                found = [values.list_item(value, items) for value in found]
            return values.numbers(found, scale, absent, broken)

        return read

    def instants(self, field: Time | None) -> InstantReader:
        """A column of Unix seconds, NaN where absent."""
        if field is None:
            return lambda columns, rows: np.full(rows, np.nan)
        (column,) = self.columns(field.path)[:1]
        zone, spelling = self._zone, field.unit
        return lambda columns, rows: values.times(columns[column], zone, spelling)


def _quotient(over: FigureReader, under: FigureReader) -> FigureReader:
    def read(columns: Sequence[Column], rows: int, broken: set[int]) -> Numbers:
        divisor = under(columns, rows, broken)
        divisor[divisor == 0] = np.nan
        return np.rint(over(columns, rows, broken) / divisor)

    return read


def _sum(parts: Sequence[FigureReader]) -> FigureReader:
    def read(columns: Sequence[Column], rows: int, broken: set[int]) -> Numbers:
        known = np.array([part(columns, rows, broken) for part in parts])
        return np.where(np.isnan(known).all(axis=0), np.nan, np.nansum(known, axis=0))

    return read


def _first(choices: Sequence[FigureReader]) -> FigureReader:
    if len(choices) == 1:
        return choices[0]

    def read(columns: Sequence[Column], rows: int, broken: set[int]) -> Numbers:
        found = choices[0](columns, rows, broken)
        for choice in choices[1:]:
            if np.isnan(found).any():
                found = np.where(np.isnan(found), choice(columns, rows, broken), found)
        return found

    return read


class Keys:
    """The columns of names that are zipped to raw keys."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._slots: list[tuple[int, bool]] = []

    def _slot(self, column: int, *, presence: bool = False) -> int:
        if (column, presence) not in self._slots:
            self._slots.append((column, presence))
        return self._slots.index((column, presence))

    def zipped(self, columns: Sequence[Column], rows: int) -> list[RawKey]:
        """One raw key a row."""
        if not self._slots:
            return [()] * rows
        absent = self._compiler.absent()
        return list(
            zip(
                *(
                    [value not in absent for value in columns[column]] if presence else columns[column]
                    for column, presence in self._slots
                ),
                strict=True,
            )
        )

    def reader(self, field: Text | None) -> NameReader:
        """The field's value in a raw key, None where absent."""
        if field is None:
            return lambda key: None
        if field.value is not None:
            constant = field.value
            return lambda key: constant
        read = self._origin(field)
        steps = _steps(field)
        default = field.default
        if not steps and default is None:
            return read

        def value(key: RawKey) -> Scalar | None:
            found = read(key)
            for step in steps:
                if found is None:
                    break
                found = step(found)
            return default if found is None else found

        return value

    def _origin(self, field: Text) -> NameReader:
        if field.present is not None:
            places = [self._slot(column, presence=True) for column in self._compiler.columns(field.present)]
            return lambda key: any(key[place] for place in places) or None
        if field.first is not None:
            choices = [self.reader(choice) for choice in field.first]
            return lambda key: next((v for read in choices if (v := read(key)) is not None), None)
        slots = [self._slot(column) for column in self._compiler.columns(field.path or "")]
        absent = self._compiler.absent(field.absent)

        def value(key: RawKey) -> Scalar | None:
            for slot in slots:
                found: Scalar | None = key[slot]
                if found not in absent:
                    return found
            return None

        return value

    def test(self, condition: Condition) -> Callable[[RawKey], bool]:
        """Whether a line with this raw key fulfils the condition."""
        if condition.present is not None:
            wanted = condition.present
            present = self.reader(Text(present=condition.path))
            return lambda key: (present(key) is not None) is wanted
        read = self.reader(Text(path=condition.path))
        if condition.match is not None:
            pattern = re.compile(condition.match)
            return lambda key: (v := read(key)) is not None and bool(pattern.search(values.text(v)))
        accepted = frozenset(values.text(value) for value in condition.is_ or ())
        return lambda key: (v := read(key)) is not None and values.text(v) in accepted


def _steps(field: Text) -> list[Callable[[Scalar], Scalar | None]]:
    """What happens to a found value, in order."""
    steps: list[Callable[[Scalar], Scalar | None]] = []
    if field.extract is not None:
        pattern = re.compile(field.extract)

        def extract(value: Scalar) -> Scalar | None:
            match = pattern.search(values.text(value))
            return (match[1] if pattern.groups else match[0]) if match else None

        steps.append(extract)
    if field.map is not None or field.match is not None:
        known = field.map or {}
        rules = [(re.compile(rule.pattern), rule.value) for rule in field.match or ()]

        def translate(value: Scalar) -> Scalar | None:
            name = values.text(value)
            if name in known:
                return known[name]
            return next((result for rule, result in rules if rule.search(name)), None)

        steps.append(translate)
    return steps
