"""Lines of JSON: each format's own part of a line is decoded, and nothing else of it is built.

`decode_lines` of msgspec takes a whole block at once, but it is not line based: two torn lines can
fuse to one object, two objects on a line are two rows, and one broken line fails the block. So a
block counts only if each of its lines is one object; any other is decoded line by line.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporter.formats.lines import (
    BAD_VALUE,
    INVALID_JSON,
    SCALARS,
    TOO_DEEP,
    WRONG_TYPE,
    Column,
    Rejected,
    Use,
    Wanted,
    one_by_one,
)
from exporter.formats.paths import Path
from exporter.record import Indices

LONG_LINE = 1024
"""Bytes from which on it is faster to look for one newline after another than for all at once."""

_OPEN, _CLOSE, _NEWLINE = b"{}\n"
_PLACES = np.uint64(0x00_01_02_03_04_05_06_07)
"""Times a word with a 1 in one of its bytes: the highest byte is that one's place."""

_SCALAR: Any = str | int | float | bool | None
_FIGURE: Any = str | float | None


class JsonLines:
    """One JSON object a line.

    Args:
        roots: objects that stand in one of several places, by the name that paths begin with.
        embedded: places of strings that hold JSON.
    """

    def __init__(
        self,
        wanted: Sequence[Wanted],
        roots: Mapping[str, Sequence[Path]] | None = None,
        embedded: Sequence[Path] = (),
    ) -> None:
        self._extraction = _Extraction(wanted, roots or {}, embedded)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._extraction.line_type)

    def rows(self, data: memoryview, rejected: Counter[str]) -> Sequence[Any]:
        """See `Lines`."""
        if lines := _lines_that_look_like_objects(data):
            try:
                rows: list[Any] = self._decoder.decode_lines(data)
            except (ValueError, RecursionError):
                pass
            else:
                if len(rows) == lines:
                    return rows
        return one_by_one(data, self.row, rejected)

    def row(self, line: bytes) -> Any:
        """See `Lines`."""
        try:
            return self._decoder.decode(line)
        except msgspec.ValidationError as error:
            if "out of range" in str(error):
                raise Rejected(BAD_VALUE, str(error)) from None
        except (ValueError, RecursionError):
            pass
        return self._second_chance(line)

    def _second_chance(self, line: bytes) -> Any:
        """What msgspec refuses, though its meaning is clear: the standard library is laxer.

        Gateways in JavaScript cut an emoji in two and leave half of it, those in Python write NaN;
        msgspec refuses the whole line for it, even in a field that nobody reads. And it stops at
        the first wrong type, where the library sees that a line is no JSON at all.
        """
        try:
            value = json.loads(line.decode("utf-8", "replace"), parse_constant=lambda name: None)
            text = json.dumps(value, ensure_ascii=False)
            return self._decoder.decode(text.encode("utf-8", "replace"))
        except RecursionError:
            raise Rejected(TOO_DEEP, "objects or lists are nested too deeply") from None
        except msgspec.ValidationError as error:
            # It says what was expected, and where in the mapping's words; nothing of the line's.
            raise Rejected(WRONG_TYPE, str(error)) from None
        except json.JSONDecodeError as error:
            raise Rejected(INVALID_JSON, f"{error.msg} at character {error.pos + 1}") from None
        except ValueError:  # of msgspec, which has no infinity, or for thousands of digits
            raise Rejected(INVALID_JSON, "a number is out of range") from None

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """See `Lines`."""
        return self._extraction.columns(rows)


def _lines_that_look_like_objects(data: memoryview) -> int:
    """How many lines there are, if each begins with { and ends with }, and 0 if one does not.

    JSON has no newline within a string, and no } and { side by side within an object or list. So
    where as many objects are found in a block as it has such lines, there is one in each.
    """
    octets = np.frombuffer(data, np.uint8)
    ends = _ends_of_lines(data, octets)
    if not len(ends) or ends[-1] != len(data) - 1 or octets[0] != _OPEN:
        return 0
    whole = (octets[ends - 1] == _CLOSE).all() and (octets[ends[:-1] + 1] == _OPEN).all()
    return len(ends) if whole else 0


def _ends_of_lines(data: memoryview, octets: NDArray[np.uint8]) -> Indices:
    """Where the newlines are; none, if two are so close that no request is between them."""
    if not (octets[:LONG_LINE] == _NEWLINE).any():
        ends, lines = [], bytes(data)
        end = lines.find(b"\n")
        while end >= 0:
            ends.append(end)
            end = lines.find(b"\n", end + 1)
        return np.array(ends)
    # By words of eight bytes, each 1 for a newline, else 0: most words are 0.
    padded = np.zeros(-(-len(octets) // 8) * 8, np.bool_)
    np.equal(octets, _NEWLINE, out=padded[: len(octets)])
    words = padded.view("<u8")
    numbers = np.flatnonzero(words != 0)
    words = words[numbers]
    if (words & (words - 1)).any():
        return np.array([], np.int64)
    return numbers * 8 + (words * _PLACES >> 56).astype(np.int64)


class _Place:
    """A place in a line that some path leads to or through."""

    def __init__(self) -> None:
        self.members: dict[str, _Place] = {}
        self.elements: _Place | None = None
        self.uses: set[Use] = set()

    def at(self, path: Path) -> "_Place":
        """The place that a path from here leads to."""
        place = self
        for step in path:
            if isinstance(step, str):
                place = place.members.setdefault(step, _Place())
            else:
                place.elements = place = place.elements or _Place()
        return place

    @property
    def is_open(self) -> bool:
        """Whether a list or an object may stand here, as far as the mapping cares."""
        inside = self.members or self.elements
        return bool(inside or self.uses & {Use.PRESENCE, Use.COUNT})

    def type(self) -> Any:
        """What msgspec decodes this place into."""
        if not self.is_open:
            return _FIGURE if self.uses == {Use.FIGURE} else _SCALAR
        element: Any = self.elements.type() if self.elements else msgspec.Raw
        return _SCALAR | list[element] | self.struct()

    def struct(self) -> Any:
        """What an object here is decoded into; only the members that are wanted are built."""
        return msgspec.defstruct(
            "Object",
            [(_attribute(key), place.type(), None) for key, place in self.members.items()],
            rename={_attribute(key): key for key in self.members},
            gc=False,
        )


def _attribute(key: str) -> str:
    """The attribute that holds a member: an identifier, whatever the key."""
    return "member_" + key.encode().hex()


class _Extraction:
    """The way from rows to columns: each step picks from the column of an earlier one.

    Attributes:
        line_type: what a line is decoded into.
    """

    def __init__(
        self,
        wanted: Sequence[Wanted],
        roots: Mapping[str, Sequence[Path]],
        embedded: Sequence[Path],
    ) -> None:
        self._roots = roots
        self._embedded = embedded
        self._line = _Place()
        for column in wanted:
            for path in self._places(column.path):
                self._line.at(path).uses.add(column.use)
        self.line_type = self._line.struct()
        self._steps: list[tuple[Callable[..., Column], Sequence[int]]] = []
        self._results: dict[tuple[Path, bool], int] = {((), False): 0, ((), True): 0}
        self._columns = [self._column(column) for column in wanted]

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """The wanted columns."""
        results = [rows]
        for step, sources in self._steps:
            results.append(step(*(results[source] for source in sources)))
        return [results[number] for number in self._columns]

    def _places(self, path: Path) -> list[Path]:
        """Where a path leads: to one place, or to one for each that its root may stand at."""
        roots = self._roots.get(str(path[0]))
        return [(*root, *path[1:]) for root in roots] if roots else [path]

    def _column(self, column: Wanted) -> int:
        number = self._result(column.path)
        places = [self._line.at(place) for place in self._places(column.path)]
        if column.use in (Use.NAME, Use.FIGURE) and any(place.is_open for place in places):
            return self._step(_scalars, number)
        return number

    def _result(self, path: Path, *, is_place: bool = False) -> int:
        """The number of the column of what stands at a path.

        Args:
            is_place: it begins at the top of the line, be there a root of that name or not.
        """
        key = path, is_place
        if key not in self._results:
            roots = None if is_place or len(path) > 1 else self._roots.get(str(path[0]))
            if roots:
                numbers = [self._result(place, is_place=True) for place in roots]
                self._results[key] = self._step(_first_object, *numbers)
            else:
                inside = self._inside(path[:-1], is_place)
                self._results[key] = self._step(_picker(path[-1]), inside)
        return self._results[key]

    def _inside(self, path: Path, is_place: bool) -> int:
        """The number of the column of objects at a path, decoded where they are embedded."""
        number = self._result(path, is_place=is_place)
        if path not in self._embedded:
            return number
        place = self._line.at(path if is_place else self._places(path)[0])
        return self._step(_embedded(msgspec.json.Decoder(place.struct())), number)

    def _step(self, step: Callable[..., Column], *sources: int) -> int:
        self._steps.append((step, sources))
        return len(self._steps)


def _picker(step: str | int) -> Callable[[Column], Column]:
    """What stands at one step of a path, in each of a column's values."""
    if isinstance(step, int):
        return lambda values: [_element(value, step) for value in values]
    name = _attribute(step)
    # Compiled with the name in it, Python's interpreter does this a third faster than attrgetter.
    of_each = eval(f"lambda values: [value.{name} for value in values]")  # noqa: S307

    def pick(values: Column) -> Column:
        try:
            column: Column = of_each(values)
        except AttributeError:
            column = [getattr(value, name, None) for value in values]
        return column

    return pick


def _element(value: object, index: int) -> object:
    return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None


def _first_object(*columns: Column) -> Column:
    """Of the values in each row, the first that is an object."""
    return [
        next((value for value in values if isinstance(value, msgspec.Struct)), None)
        for values in zip(*columns, strict=True)
    ]


def _embedded(decoder: msgspec.json.Decoder[Any]) -> Callable[[Column], Column]:
    """Strings that hold JSON, decoded; what is no such string stays as it is."""

    def decoded(value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return decoder.decode(value)
        except (ValueError, RecursionError):
            return None

    return lambda values: [decoded(value) for value in values]


def _scalars(values: Column) -> Column:
    """Values that can be a name or a figure; None where an object or a list stands."""
    return [value if isinstance(value, SCALARS) else None for value in values]
