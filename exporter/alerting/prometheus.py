"""Questions to a Prometheus: values now, and over a range of time."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, TypeAlias, TypeVar

from exporter.alerting.promql import Promql
from exporter.errors import ExporterError, reason_of

Labels: TypeAlias = tuple[tuple[str, str], ...]

T = TypeVar("T")

_MOST_POINTS = 10_000
"""Points of a series in one answer; Prometheus refuses more than 11,000."""


_OTHER_SHAPE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer raises that has another shape."""


class PrometheusFailed(ExporterError):
    """A Prometheus cannot be reached, or refuses a question."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus, or what speaks its HTTP API.

    Attributes:
        url: its address, with the path before `/api/v1`.
    """

    url: str

    def now(self, expression: Promql) -> dict[Labels, float]:
        """Each series' value now.

        Raises:
            PrometheusFailed: it cannot be reached, or refuses the expression.
        """
        return dict(self._ask("query", {"query": expression}, _value))

    def over(
        self, expression: Promql, start: float, end: float, step_s: float
    ) -> dict[Labels, dict[int, float]]:
        """Each series' values from `start` to `end` (epoch seconds), by the number of the step.

        Raises:
            PrometheusFailed: it cannot be reached, or refuses the expression.
        """
        values: dict[Labels, dict[int, float]] = {}
        begin = start
        while begin <= end:
            until = min(end, begin + (_MOST_POINTS - 1) * step_s)
            asked = {"query": expression, "start": begin, "end": until, "step": step_s}
            for labels, points in self._ask("query_range", asked, _points):
                own = values.setdefault(labels, {})
                for time, value in points:
                    own[round((time - start) / step_s)] = value
            begin = until + step_s
        return values

    def _ask(
        self, path: str, parameters: Mapping[str, object], read: Callable[[Any], T]
    ) -> list[T]:
        """What `read` makes of each series of the answer."""
        if not self.url.startswith(("http://", "https://")):
            raise PrometheusFailed(f"{self.url}: expected an address such as http://127.0.0.1:9090")
        address = f"{self.url.rstrip('/')}/api/v1/{path}"
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(address, body, timeout=120) as answer:  # noqa: S310
                return [read(series) for series in json.load(answer)["data"]["result"]]
        except urllib.error.HTTPError as error:
            raise PrometheusFailed(f"{address}: {_body(error)[:500] or error}") from None
        except (OSError, HTTPException, *_OTHER_SHAPE) as error:
            raise PrometheusFailed(f"{address}: {reason_of(error)}") from None


def _body(error: urllib.error.HTTPError) -> str:
    """What a server says about an error, "" if it breaks off."""
    try:
        with error:
            return error.read().decode(errors="replace")
    except (OSError, HTTPException):
        return ""


def _value(series: Any) -> tuple[Labels, float]:
    return _labels(series), float(series["value"][1])


def _points(series: Any) -> tuple[Labels, list[tuple[float, float]]]:
    """Epoch seconds and values."""
    return _labels(series), [(float(time), float(value)) for time, value in series["values"]]


def _labels(series: Mapping[str, Any]) -> Labels:
    return tuple(sorted((k, str(v)) for k, v in series["metric"].items() if k != "__name__"))
