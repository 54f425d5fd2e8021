"""The parameters of the API: what each may hold, and the filter that they make."""

import math
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from multidict import MultiMapping

from exporter.requestlog.columns import TICKS
from exporter.requestlog.filter import ERROR, SUCCESS, Filter
from exporter.web.requests.problem import ParameterError, ProblemError

T = TypeVar("T")

MOST_VALUES = 50
"""Of one parameter."""

MOST_CHARACTERS = 256
"""Of a value: names are kept no longer than that."""

ATTRIBUTE = "attribute."
"""Begins the parameters of extra attributes: `attribute.team`."""

ANY_ATTRIBUTE = "attribute.<name>"

_ATTRIBUTE = re.compile(rf"{re.escape(ATTRIBUTE)}[a-zA-Z_][a-zA-Z0-9_.-]{{0,63}}")

STATUS = f"[1-5][0-9][0-9]|[1-5]xx|{ERROR}|{SUCCESS}"

LONGEST_LATENCY_MS = 40_000_000.0

_LISTS = {
    "model": "models",
    "provider": "providers",
    "operation": "operations",
    "error_type": "error_types",
    "source": "sources",
}

FILTER_PARAMETERS = frozenset(
    {*_LISTS, "from", "to", "status", "streamed", "min_latency_ms", "id", ANY_ATTRIBUTE}
)


class Query:
    """Reads parameters, and gathers what is wrong with them."""

    def __init__(self, values: MultiMapping[str], allowed: Collection[str]) -> None:
        self._values = values
        self._errors: list[ParameterError] = []
        for name in dict.fromkeys(values):
            is_attribute = ANY_ATTRIBUTE in allowed and _ATTRIBUTE.fullmatch(name)
            if not is_attribute and (name not in allowed or name == ANY_ATTRIBUTE):
                self._wrong(name, f"unknown; there are {', '.join(sorted(allowed))}")

    def _wrong(self, parameter: str, detail: str) -> None:
        self._errors.append(ParameterError(parameter[:100], detail))

    def check(self) -> None:
        """Refuse the query if something is wrong.

        Raises:
            ProblemError: it names all that is.
        """
        if self._errors:
            raise ProblemError(400, "Some parameters are wrong.", self._errors)

    def all(self, name: str) -> list[str]:
        """All values of a parameter."""
        values = self._values.getall(name, [])
        if len(values) > MOST_VALUES:
            self._wrong(name, f"expected {MOST_VALUES} values at most")
        if any(len(value) > MOST_CHARACTERS for value in values):
            self._wrong(name, f"expected {MOST_CHARACTERS} characters at most")
        return list(dict.fromkeys(values))

    def one(self, name: str, read: Callable[[str], T], default: T) -> T:
        """The value of a parameter that has one at most."""
        values = self._values.getall(name, [])
        if not values:
            return default
        if len(values) > 1:
            self._wrong(name, "expected once")
            return default
        try:
            return read(values[0])
        except ValueError as error:
            self._wrong(name, str(error))
            return default

    def flag(self, name: str) -> bool:
        """Whether a parameter is true; it is not if it is not there."""
        return self.one(name, _flag, default=False)

    def choices(self, name: str, allowed: Sequence[str]) -> list[str]:
        """All values of a parameter that may only have some."""
        values = self.all(name)
        if not set(values) <= set(allowed):
            self._wrong(name, f"expected some of {', '.join(allowed)}")
        return values

    def filter(self) -> Filter:
        """What is looked for; a request id alone, if there is one."""
        statuses = self.all("status")
        if not all(re.fullmatch(STATUS, status, re.ASCII) for status in statuses):
            self._wrong("status", f"expected a code, a class such as 4xx, {ERROR} or {SUCCESS}")
        lists: dict[str, Any] = {field: self.all(name) for name, field in _LISTS.items()}
        wanted = Filter(
            earliest=self.one("from", instant, 0),
            latest=self.one("to", instant, 2**62),
            statuses=statuses,
            streamed=self.one("streamed", _flag, None),
            min_latency=self.one("min_latency_ms", _ticks, 0),
            attributes={
                name.removeprefix(ATTRIBUTE): self.all(name)
                for name in dict.fromkeys(self._values)
                if name.startswith(ATTRIBUTE)
            },
            **lists,
        )
        if wanted.earliest > wanted.latest:
            self._wrong("from", "expected a time before `to`")
        request_id = self.one("id", short_text(1, MOST_CHARACTERS), "")
        return Filter(request_id=request_id) if request_id else wanted


_RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def instant(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time, or of a number of milliseconds as Grafana has.

    Raises:
        ValueError: it is neither.
    """
    if re.fullmatch(r"\d{1,15}", text, re.ASCII):
        return int(text) * 1000
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("expected a time such as 2026-11-23T12:00:00Z, or Unix milliseconds")
    date, minute, second, fraction, zone = match.groups()
    is_leap = second == "60"  # The second after the last one: RFC 3339, section 5.7.
    whole = datetime.fromisoformat(f"{date}T{minute}:{59 if is_leap else second}{zone.upper()}")
    try:
        seconds = math.floor(whole.astimezone(UTC).timestamp()) + is_leap
    except OverflowError as error:
        raise ValueError("expected a year from 1 to 9999 in UTC") from error
    digits = (fraction or ".0")[1:7].ljust(6, "0")
    return max(0, seconds * 1_000_000 + int(digits))


def _ticks(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError("expected milliseconds, such as 1500 or 0.5")
    milliseconds = float(text)
    if milliseconds > LONGEST_LATENCY_MS:
        raise ValueError(f"expected {LONGEST_LATENCY_MS:.0f} at most")
    return math.ceil(round(milliseconds * TICKS / 1000, 3))


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"expected a number from {low} to {high}")
        return int(text)

    return read


def one_of(allowed: Collection[str]) -> Callable[[str], str]:
    """A reader of texts that are among these."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return text

    return read


def short_text(least: int, most: int) -> Callable[[str], str]:
    """A reader of texts of so many characters."""

    def read(text: str) -> str:
        if not least <= len(text) <= most:
            raise ValueError(f"expected {least} to {most} characters")
        return text

    return read
