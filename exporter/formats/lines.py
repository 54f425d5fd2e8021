"""Lines to columns: each format's own part of a line is decoded, and nothing else of it is built.

`decode_lines` of msgspec takes a whole block at once, but it is not line based: two torn lines can fuse
to a valid object, and one broken line fails the block. So the rows are counted against the newlines, and
a block that disagrees or fails is decoded line by line.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from exporter.formats.paths import Path

Column = list[Any]

INVALID_JSON = "invalid_json"
WRONG_TYPE = "wrong_type"
TOO_DEEP = "too_deep"
NO_MATCH = "no_match"


class Lines(Protocol):
    """Turns a block of lines into rows, and rows into the columns that were asked for."""

    def rows(self, data: bytes, rejected: Counter[str]) -> Sequence[Any]:
        """The lines that can be read, in order; the others are counted in `rejected` by reason."""
        ...

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """One column for each path, shape (len(rows),); None where nothing stands."""
        ...


_SCALAR: Any = str | int | float | bool | None
_OTHER_THAN_OBJECT: Any = str | int | float | bool | None | list[msgspec.Raw]


class _Node:
    """A place in the line that some path leads to or through."""

    def __init__(self) -> None:
        self.columns: list[int] = []
        self.children: dict[str | int, _Node] = {}
        self.names: dict[str | int, str] = {}
        self.embedded: msgspec.json.Decoder[Any] | None = None

    def add(self, path: Path, column: int, embedded: frozenset[Path], here: Path = ()) -> None:
        """Grow the branch to `path`."""
        if not path:
            self.columns.append(column)
            return
        step = path[0]
        child = self.children.setdefault(step, _Node())
        self.names.setdefault(step, f"f{len(self.names)}")
        child.add(path[1:], column, embedded, (*here, step))

    def shape(self, embedded: frozenset[Path], here: Path = ()) -> Any:
        """The type that msgspec decodes this place into."""
        objects = [step for step in self.children if isinstance(step, str)]
        indexed = [step for step in self.children if isinstance(step, int)]
        if not self.children:
            return _SCALAR if here not in embedded else _OTHER_THAN_OBJECT
        members = {step: child.shape(embedded, (*here, step)) for step, child in self.children.items()}
        struct: Any = None
        if objects:
            struct = msgspec.defstruct(
                "Object",
                [(self.names[step], members[step], None) for step in objects],
                rename={self.names[step]: step for step in objects},
                gc=False,
            )
        if here in embedded:
            self.embedded = msgspec.json.Decoder(struct)
            return _SCALAR
        if not here:
            return struct
        scalar = str | int | float | bool | None
        if indexed:
            element: Any = None
            for step in indexed:
                element = members[step] if element is None else element | members[step]
            return (scalar | list[element]) if struct is None else (scalar | list[element] | struct)
        return scalar | struct | list[msgspec.Raw]

    def pick(self, step: str | int, values: Column) -> Column:
        """The column of what stands at `step` in each of the values."""
        if isinstance(step, int):
            return [_item(value, step) for value in values]
        name = self.names[step]
        try:
            return list(map(attrgetter(name), values))
        except AttributeError:
            return [getattr(value, name, None) for value in values]

    def extract(self, values: Column, columns: list[Column]) -> None:
        """Fill the columns of this branch."""
        for column in self.columns:
            columns[column] = values
        if self.embedded is not None:
            values = [_embedded(self.embedded, value) for value in values]
        for step, child in self.children.items():
            child.extract(self.pick(step, values), columns)


def _item(value: object, index: int) -> object:
    return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None


def _embedded(decoder: msgspec.json.Decoder[Any], value: object) -> object:
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    try:
        return decoder.decode(value)
    except (ValueError, RecursionError):
        return None


class JsonLines:
    """One JSON object a line."""

    def __init__(self, paths: Sequence[Path], embedded: Iterable[Path] = ()) -> None:
        self._width = len(paths)
        self._root = _Node()
        inside = frozenset(embedded)
        for column, path in enumerate(paths):
            self._root.add(path, column, inside)
        self._type = self._root.shape(inside)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._type)

    def rows(self, data: bytes, rejected: Counter[str]) -> Sequence[Any]:
        """See `Lines`."""
        try:
            rows: list[Any] = self._decoder.decode_lines(data)
        except (ValueError, RecursionError):
            pass
        else:
            if len(rows) == data.count(b"\n"):
                return rows
        rows = []
        for line in data.split(b"\n"):
            if line and not line.isspace():
                try:
                    rows.append(self._row(line))
                except _Rejected as error:
                    rejected[error.reason] += 1
        return rows

    def _row(self, line: bytes) -> Any:
        """One line; what msgspec refuses gets a second chance, for the standard library is laxer.

        Gateways in JavaScript cut an emoji in two and leave a lone surrogate; msgspec refuses the whole
        line for it, even in a field that nobody reads.
        """
        try:
            return self._decoder.decode(line)
        except RecursionError:
            raise _Rejected(TOO_DEEP) from None
        except msgspec.ValidationError:
            raise _Rejected(WRONG_TYPE) from None
        except ValueError:
            pass
        try:
            return msgspec.convert(json.loads(line), self._type)
        except RecursionError:
            raise _Rejected(TOO_DEEP) from None
        except msgspec.ValidationError:
            raise _Rejected(WRONG_TYPE) from None
        except ValueError:
            raise _Rejected(INVALID_JSON) from None

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """See `Lines`."""
        columns: list[Column] = [[]] * self._width
        self._root.extract(list(rows), columns)
        return columns


class _Rejected(Exception):
    """A line that can't be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TextLines:
    """Lines that a regular expression with named groups reads whole."""

    def __init__(self, pattern: str, paths: Sequence[Path]) -> None:
        self._pattern = re.compile(pattern)
        self._keys = [path[0] for path in paths]

    def rows(self, data: bytes, rejected: Counter[str]) -> Sequence[Any]:
        """See `Lines`."""
        rows = []
        for line in data.decode("utf-8", "replace").split("\n"):
            if not line or line.isspace():
                continue
            found = self._read(line.rstrip("\r"))
            if found is None:
                rejected[NO_MATCH] += 1
            else:
                rows.append(found)
        return rows

    def _read(self, line: str) -> dict[str, Any] | None:
        match = self._pattern.search(line)
        return match.groupdict() if match else None

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """See `Lines`."""
        return [[row.get(key) for row in rows] for key in self._keys]


class LogfmtLines(TextLines):
    """Lines of `key=value key="quoted value"`, after a part that a pattern may read."""

    _PAIR = re.compile(r'([^\s=]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')

    def _read(self, line: str) -> dict[str, Any] | None:
        head = self._pattern.match(line)
        if head is None:
            return None
        pairs = self._PAIR.findall(line, head.end())
        found: dict[str, Any] = head.groupdict()
        found.update((key, quoted.replace('\\"', '"') or plain) for key, quoted, plain in pairs)
        return found if pairs else None
