"""Values of a line as seconds, counts and names: units, strings with units, times in every spelling."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo

import numpy as np

from exporter.formats.spec import Scalar
from exporter.record import Numbers

LONGEST_TEXT = 256
"""Characters of a name that are kept: more is a client's joke, and labels are paid for by length."""

LARGEST_NUMBER = 1e10
"""No request has more tokens, seconds or dollars than this; what says so is broken (2^63, 1e300)."""

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0, "m": 60.0, "h": 3600.0, "1": 1.0}

_WITH_UNIT = re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(ns|us|µs|μs|ms|s|min|m|h)")


def text(value: object) -> str:
    """A value as a name: whole, printable as UTF-8, of bounded length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    shown = str(value)[:LONGEST_TEXT]
    return shown if shown.isascii() else shown.encode("utf-8", "replace").decode("utf-8")


class AbsentValues:
    """What stands where there is no value.

    Attributes:
        numbers: those of them that are figures.
    """

    def __init__(self, values: Iterable[Scalar]) -> None:
        values = list(values)
        self._values = frozenset([*values, *map(text, values)])
        self.numbers = tuple(
            float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)
        )

    def __contains__(self, value: object) -> bool:
        return value is None or (isinstance(value, str | int | float) and value in self._values)


def _number(value: object, scale: float, absent: AbsentValues) -> float:
    """One figure in the record's unit, NaN where absent.

    Raises:
        ValueError: it is none.
    """
    if value in absent:
        return float("nan")
    if isinstance(value, str):
        value = value.strip()
        parts = _WITH_UNIT.findall(value)
        if parts and "".join(map("".join, parts)) == value:
            return sum(float(figure) * SECONDS[unit] for figure, unit in parts)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return float(value) * scale
    raise ValueError("not a number")


def numbers(
    column: Sequence[object], scale: float, absent: AbsentValues, broken: set[int]
) -> Numbers:
    """A column of figures, shape (len(column),), scaled to the record's unit, NaN where absent.

    Rows whose value is no figure, or an absurd one, are added to `broken`.
    """
    try:
        figures = np.array(column, np.float64)
    except (ValueError, TypeError, OverflowError):
        figures = _numbers_one_by_one(column, scale, absent, broken)
    else:
        for value in absent.numbers:
            figures[figures == value] = np.nan
        if scale != 1.0:
            figures *= scale
    too_large = np.abs(figures) > LARGEST_NUMBER
    if too_large.any():
        broken.update(np.flatnonzero(too_large).tolist())
    return figures


def _numbers_one_by_one(
    column: Sequence[object], scale: float, absent: AbsentValues, broken: set[int]
) -> Numbers:
    figures = np.full(len(column), np.nan)
    for row, value in enumerate(column):
        try:
            figures[row] = _number(value, scale, absent)
        except (ValueError, OverflowError):
            broken.add(row)
    return figures


def list_item(value: object, which: str) -> object:
    """An element of nginx's lists: `, ` between the servers tried, ` : ` between internal redirects."""
    if not isinstance(value, str) or ("," not in value and " : " not in value):
        return value
    items = [item.strip() for item in re.split(r",\s*|\s+:\s+", value)]
    if which == "sum":
        known = [float(item) for item in items if item not in ("", "-")]
        return sum(known) if known else None
    return items[-1 if which == "last" else 0]


_UNPADDED = re.compile(r"\.(\d{1,6})(?=Z|[+-]|$)")


def _padded(moment: str) -> str:
    return _UNPADDED.sub(lambda match: "." + match[1].zfill(6), moment)


def _unix(value: object, zone: tzinfo, spelling: str) -> float:
    """Seconds since 1970, NaN for what is no time."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            if spelling == "clf":
                return datetime.strptime(value, "%d/%b/%Y:%H:%M:%S %z").timestamp()
            moment = datetime.fromisoformat(_padded(value) if spelling == "iso-unpadded-us" else value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
        seconds = float(value)  # type: ignore[arg-type]  # whatever it can't take is no time
    except (ValueError, TypeError, OverflowError):
        return float("nan")
    return seconds / _ticks_per_second(seconds) if spelling == "auto" else seconds * SECONDS[spelling]


def _ticks_per_second(since_1970: float) -> float:
    """Seconds until the year 5138, then milliseconds, then microseconds, then nanoseconds."""
    for power in (0, 3, 6, 9):
        if since_1970 < 1e11 * 10**power:
            return float(10**power)
    return 1e9


def times(column: Sequence[object], zone: tzinfo = UTC, spelling: str = "auto") -> Numbers:
    """A column of instants as Unix seconds, NaN where there is none.

    Args:
        zone: of times that name none.
        spelling: a `TimeUnit`.
    """
    if spelling == "auto":
        try:
            seconds = np.array(column, np.float64)
        except (ValueError, TypeError, OverflowError):
            pass
        else:
            if not (seconds >= 1e11).any():
                return seconds
    return np.array([_unix(value, zone, spelling) for value in column], np.float64)
