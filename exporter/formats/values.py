"""Values of a line as names, figures and instants: units, durations in strings, every time."""

import re
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from math import inf, nan
from typing import Any, TypeVar

import numpy as np

from exporter.record import LARGEST_FIGURE, Numbers

LONGEST_NAME = 256
"""Characters of a name that are kept: more is a client's joke, and labels are paid by length."""


SECONDS = {
    "h": 3600.0,
    "min": 60.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
}
"""Units of durations; both signs for micro are in use."""

_WITH_UNIT = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|min|m|h)")

LONGEST_DURATION = 64
"""Characters of a text that can be a duration with its units."""


def name(value: object) -> str:
    """A value as text of bounded length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:LONGEST_NAME]


def names(column: Sequence[Any], absent: "AbsentValues") -> Sequence[str]:
    """A column of texts, "" where absent.

    Ids are in every line, and mostly short and plain: then one look at them all together will do.
    """
    try:
        plain = "".join(column).isascii() and max(map(len, column), default=0) <= LONGEST_NAME
    except TypeError:
        plain = False
    if plain and absent.names.isdisjoint(column):
        return column
    return ["" if value in absent.names else name(value) for value in column]


class AbsentValues:
    """What stands where there is no value.

    Attributes:
        names: each, as it is and as text, and None.
        figures: those that are figures.
    """

    def __init__(self, values: Iterable[str | float]) -> None:
        values = list(values)
        self.names = frozenset([None, *values, *map(name, values)])
        figures = [_plain_figure(value) for value in values]
        self.figures = frozenset(figure for figure in figures if figure == figure)


def figures(column: Sequence[Any], scale: float, absent: AbsentValues) -> Numbers:
    """A column of figures, shape (len(column),): NaN where absent, infinite where it is no figure.

    Args:
        scale: multiplies each, but not a duration that carries its own unit.
    """
    found = _plain(column)
    if found is None:
        found = np.array([_figure(value, scale, absent) for value in column], np.float64)
    else:
        for figure in absent.figures:
            found[found == figure] = nan
        found = found if scale == 1.0 else scaled(found, scale)
    found[np.abs(found) > LARGEST_FIGURE] = inf
    return found


F = TypeVar("F", float, Numbers)


def scaled(figure: F, scale: float) -> F:
    """The figure times a scale; 2526 over 1000 is 2.526, and times 0.001 it is not quite."""
    return figure / (1 / scale) if 0 < scale < 1 else figure * scale


def _plain(column: Sequence[Any]) -> Numbers | None:
    """A column of numbers and None as an array, None where there is anything else."""
    try:
        return _packed(column)
    except (struct.error, OverflowError):
        pass
    try:
        return _packed([nan if value is None else value for value in column])
    except (struct.error, OverflowError):
        return None


def _packed(column: Sequence[float]) -> Numbers:
    """Numbers as an array: `struct` is faster at it than numpy, and reads no strings."""
    return np.frombuffer(bytearray(struct.pack(f"{len(column)}d", *column)), np.float64)


def _figure(value: object, scale: float, absent: AbsentValues) -> float:
    if value in absent.names:
        return nan
    figure = _plain_figure(value)
    if figure in absent.figures:
        return nan
    if figure == figure:
        return scaled(figure, scale)
    if not isinstance(value, str) or len(value) > LONGEST_DURATION:
        return inf
    parts = _WITH_UNIT.findall(value)
    if parts and "".join(map("".join, parts)) == value:
        return sum(scaled(float(number), SECONDS[unit]) for number, unit in parts)
    return inf


def _plain_figure(value: object) -> float:
    """A number or its text; NaN where it is neither."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return nan


_BETWEEN_ITEMS = re.compile(r"\s*,\s*|\s+:\s+")


def list_item(value: object, which: str) -> object:
    """An element of nginx's lists: `, ` between servers tried, ` : ` between internal redirects."""
    if not isinstance(value, str) or not _BETWEEN_ITEMS.search(value):
        return value
    items = _BETWEEN_ITEMS.split(value.strip())
    if which == "sum":
        known = [_plain_figure(item) for item in items if item not in ("", "-")]
        total = sum(known)
        if total != total:
            return value  # Not all of them are figures, so that there is none.
        return total if known else None
    return items[-1 if which == "last" else 0]


LATEST = 1e11
"""In seconds since 1970, the year 5138: a number beyond it is of a smaller unit, or no time."""

LONGEST_TIME = 64
"""Characters of a text that can be a time."""

_PATTERNS = {"clf": "%d/%b/%Y:%H:%M:%S %z"}
_FRACTION = re.compile(r"\.(\d{1,6})(?=Z|[+-]|$)")


def instants(column: Sequence[Any], zone: tzinfo = UTC, unit: str = "auto") -> Numbers:
    """A column of instants as Unix seconds, shape (len(column),), NaN where there is none.

    Args:
        zone: of times that name none.
        unit: a `TimeUnit` of the mapping language.
    """
    found = _plain(column)
    if found is None:
        found = np.array([_instant(value, zone, unit) for value in column], np.float64)
    elif unit != "auto":
        found = scaled(found, SECONDS.get(unit, 1.0))
    else:
        for _ in range(3):
            if not (too_late := found >= LATEST).any():
                break
            found = np.where(too_late, found / 1e3, found)
    return np.where((found > 0) & (found < LATEST), found, nan)


def _instant(value: object, zone: tzinfo, unit: str) -> float:
    if isinstance(value, str):
        if len(value) > LONGEST_TIME:
            return nan
        if pattern := _PATTERNS.get(unit, unit if "%" in unit else ""):
            return _by_pattern(value, pattern, zone)
        if value[4:5] == "-":
            return _iso(value, zone, unit)
    number = _plain_figure(value)
    if unit != "auto":
        return scaled(number, SECONDS.get(unit, 1.0))
    for _ in range(3):
        number = number / 1e3 if number >= LATEST else number
    return number


def _iso(text: str, zone: tzinfo, unit: str) -> float:
    if unit == "iso-unpadded-us":
        text = _FRACTION.sub(lambda match: "." + match[1].zfill(6), text)
    try:
        return _unix(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        return nan


@lru_cache(4096)  # It is slow, and such times have a resolution of a second: they repeat.
def _by_pattern(text: str, pattern: str, zone: tzinfo) -> float:
    try:
        return _unix(datetime.strptime(text, pattern), zone)
    except (ValueError, OverflowError):
        return nan


def _unix(moment: datetime, zone: tzinfo) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
