"""What Prometheus makes of the templates in our annotations, to foretell it in unit tests.

The formats are those of its package `template` (humanize, humanizePercentage, humanizeDuration) and
of Go's `url.QueryEscape`.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote_plus

_ACTION = re.compile(r'\{\{ (?:\$labels\.(?P<label>\w+)|(?P<value>\$value)|"(?P<text>\{\{)")'
                     r"(?: \| (?P<function>\w+))? \}\}")  # fmt: skip


def expanded(template: str, labels: Mapping[str, str], value: float) -> str:
    """An annotation as it is sent."""

    def replaced(match: re.Match[str]) -> str:
        if match["text"]:
            return match["text"]
        if match["label"]:
            text = labels.get(match["label"], "")
            return quote_plus(text, safe="") if match["function"] == "urlquery" else text
        return _FORMATS[match["function"]](value)

    return _ACTION.sub(replaced, template)


def percentage(value: float) -> str:
    """A share as a percentage of four digits."""
    return f"{value * 100:.4g}%"


def humanized(value: float) -> str:
    """A number with a metric prefix."""
    if value == 0 or not abs(value) >= 1:
        return _small(value)
    for prefix in ("", "k", "M", "G", "T", "P", "E", "Z", "Y"):
        if abs(value) < 1000 or prefix == "Y":
            return f"{value:.4g}{prefix}"
        value /= 1000
    raise AssertionError(value)


def duration(seconds: float) -> str:
    """Seconds as days, hours, minutes and seconds; below a second with a metric prefix."""
    if abs(seconds) < 1:
        return f"{_small(seconds)}s"
    whole = int(abs(seconds))
    sign = "-" if seconds < 0 else ""
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {whole % 60}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {whole % 60}s"
    if minutes:
        return f"{sign}{minutes}m {whole % 60}s"
    return f"{seconds:.4g}s"


def _small(value: float) -> str:
    prefix = ""
    for smaller in ("m", "u", "n", "p", "f", "a", "z", "y"):
        if value == 0 or abs(value) >= 1:
            break
        prefix, value = smaller, value * 1000
    return f"{value:.4g}{prefix}"


def _plain(value: float) -> str:
    return f"{value:g}"


_FORMATS: Mapping[str | None, Callable[[float], str]] = {
    None: _plain,
    "humanize": humanized,
    "humanizePercentage": percentage,
    "humanizeDuration": duration,
}
