"""What an import makes: definitions, and a report of what could not be carried over, with why."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypeAlias

from pydantic import ValidationError

from exporter.alerting.alert import NO_DATA
from exporter.alerting.definitions import Definitions
from exporter.alerting.metrics import METRICS, Unit
from exporter.alerting.notifications import DAYS
from exporter.alerting.rulefile import yaml_text
from exporter.errors import ExporterError
from exporter.mistakes import mistakes, step_text
from exporter.quantities import Duration

Json: TypeAlias = Mapping[str, Any]
"""An object of a vendor's, of which any part may be missing."""

SEVERITIES: Mapping[str, str] = {
    "critical": "critical",
    "p1": "critical",
    "error": "error",
    "p2": "error",
    "warn": "warning",
    "warning": "warning",
    "p3": "warning",
    "info": "info",
    "p4": "info",
}
"""Our severities by the vendors' words, in lower case."""

KEPT = "kept here by keep_firing_for: it resolves an hour late each time, with data too"
"""What a person has to know whose alert kept its state without data at the source."""


class ImportFailed(ExporterError):
    """A file is not what its kind says."""


class ByHand(Exception):
    """A rule that a person has to carry over; the text says why."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person has to know or do.

    Attributes:
        rule: as the source calls it.
        part: of it that is meant.
    """

    rule: str
    part: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.part}: {self.text}"


@dataclass
class Draft:
    """Definitions in the making."""

    alerts: list[dict[str, object]] = field(default_factory=list)
    slos: list[dict[str, object]] = field(default_factory=list)
    hours: dict[str, dict[str, object]] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    def remark(self, rule: str, part: str, text: str) -> None:
        """Put something into the report, once."""
        remark = Remark(rule, part, text)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def name(self, title: str) -> str:
        """A name for an alert that no other has; words in other scripts give `Alert`."""
        words = re.findall(r"[A-Za-z0-9]+", title)
        name = "".join(word[0].upper() + word[1:] for word in words)[:48]
        name = name if name[:1].isalpha() else f"Alert{name}"
        others = (str(each["name"]) for each in (*self.alerts, *self.slos))
        taken = {each for other in others for each in _alert_names(other)}
        number = 2
        unique = name
        while taken & _alert_names(unique):
            unique, number = f"{name}{number}", number + 1
        return unique

    def hours_of(self, definition: Mapping[str, object]) -> str:
        """The name of effective hours; equal ones have one name."""
        for name, known in self.hours.items():
            if known == definition:
                return name
        name = f"hours-{len(self.hours) + 1}"
        self.hours[name] = dict(definition)
        return name

    def add_alert(self, alert: dict[str, object]) -> None:
        """Take in an alert.

        Raises:
            ByHand: no definition can say it.
        """
        _check("alerts", alert, self._hours([alert]))
        self.alerts.append(alert)

    def add_slo(self, slo: dict[str, object]) -> None:
        """Take in an objective.

        Raises:
            ByHand: no definition can say it.
        """
        _check("slos", slo, {})
        self.slos.append(slo)

    def _hours(self, alerts: Iterable[Mapping[str, object]]) -> dict[str, object]:
        """Effective hours that some alerts have, as a part of definitions."""
        used = {alert.get("hours") for alert in alerts}
        hours = {name: hours for name, hours in self.hours.items() if name in used}
        return {"notifications": {"hours": hours}} if hours else {}

    def document(self) -> dict[str, object]:
        """The definitions as a person would write them."""
        parts = self._hours(self.alerts)
        if self.alerts:
            parts["alerts"] = self.alerts
        if self.slos:
            parts["slos"] = self.slos
        return parts

    def definitions(self) -> Definitions:
        """The definitions as types.

        Raises:
            ValidationError: they are none, which is a mistake of an importer.
        """
        return Definitions.model_validate(self.document())

    def text(self) -> str:
        """The definitions as YAML; they are valid.

        Raises:
            ValidationError: they are not, which is a mistake of an importer.
        """
        self.definitions()
        return yaml_text(self.document()) if self.document() else "alerts: []\n"


def _alert_names(name: str) -> set[str]:
    """Names in Prometheus of an alert of this name, as they are compared."""
    return {name.lower(), f"{name}{NO_DATA}".lower()}


def _check(key: str, definition: Mapping[str, object], others: Mapping[str, object]) -> None:
    document = {key: [definition], **others}
    try:
        Definitions.model_validate(document)
    except ValidationError as error:
        first = mistakes(error, Definitions, document)[0]
        place = first.steps[2:] if first.steps[0] == key else first.steps
        raise ByHand(f"{step_text(place)}: {first.message}") from None


def figure(value: Any, what: str) -> float:
    """A number, which may be written as text.

    Raises:
        ByHand: it is none, such as a parameter of a template.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not isfinite(number):
        raise ByHand(f"{what} is no number: {value}")
    return number


def threshold(metric: str, value: float, *, factor: float = 1) -> object:
    """A threshold in the form of a metric: shares as percentages, durations in seconds.

    Args:
        factor: by which the source's numbers must be multiplied: to percent, or to seconds.
    """
    number = float(f"{value * factor:.12g}")
    unit = METRICS[metric].unit
    if unit is Unit.SHARE:
        return f"{number:g}%"
    if unit is Unit.SECONDS:
        return seconds(number)
    return int(number) if number.is_integer() else number


def always(days: tuple[str, ...], start: str, end: str) -> bool:
    """Whether effective hours are all hours."""
    return set(days) == set(DAYS) and start in ("00:00", "0:00") and end in ("23:59", "24:00")


def objects(value: object, *keys: str) -> Iterator[Json]:
    """The objects of a list, which may be wrapped in objects under any of the keys, or be alone."""
    if isinstance(value, list):
        for each in value:
            yield from objects(each, *keys)
    elif isinstance(value, Mapping):
        inside = [value[key] for key in keys if isinstance(value.get(key), Mapping | list)]
        if inside:
            for each in inside:
                yield from objects(each, *keys)
        else:
            yield value


def seconds(value: float) -> str:
    """A number of seconds as definitions have it."""
    return str(Duration(value))


_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE)


def iso_seconds(text: str) -> int:
    """Seconds of an ISO 8601 duration such as PT5M.

    Raises:
        ByHand: it is none.
    """
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ByHand(f"{text!r} is no duration")
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
