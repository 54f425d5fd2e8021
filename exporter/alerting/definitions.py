"""Alert definitions: what each key may hold, and what it means.

The text under a key is its description in the JSON Schema that editors use.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, TypeAlias, TypeVar

from pydantic import Field, ModelWrapValidatorHandler, TypeAdapter, ValidationError, model_validator

from exporter.alerting.alert import Alert
from exporter.alerting.notifications import Notifications
from exporter.alerting.slo import Slo
from exporter.alerting.watched import Url, Watched, label_of
from exporter.alerting.words import HOUR_S, LONG_S
from exporter.documents import Finding, Section, checked, load, sound
from exporter.mistakes import quoted, unknown
from exporter.quantities import Duration, between

W = TypeVar("W", bound=Watched)


class Links(Section):
    """Where the links in notifications lead."""

    runbooks: Annotated[str, Field(pattern=r"^[^\s\"'<>{}]+$")] | None = None
    """Address or path of the runbooks: the page of ErrorRate is error-rate.md in it."""

    dashboard: Url | None = None
    """Dashboard; the alert's labels are given to it as variables, called as in ours: model,
    provider, and attribute_workspace for the attribute workspace."""

    requests: Url | None = None
    """The exporter's web address, whose /requests page shows the requests that were counted."""


_Interval: TypeAlias = Annotated[Duration, between(Duration("1s"), Duration("5m"))]


class Definitions(Section):
    """Alert definitions."""

    interval: _Interval = Duration("1m")
    """How often rules are evaluated. Periods are multiples of it."""

    links: Links = Links()
    """Where the links in notifications lead."""

    notifications: Notifications = Notifications()
    """Who is told, how, and when."""

    alerts: tuple[Alert, ...] = ()
    """Thresholds."""

    slos: tuple[Slo, ...] = ()
    """Service level objectives."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            definitions = handler(data)
        except ValidationError:
            return checked(data, handler, _disagreements(_sound_parts(data)))
        return sound(definitions, _disagreements(_all_parts(definitions)))


def load_definitions(path: Path) -> Definitions:
    """The definitions at `path`.

    Raises:
        DocumentError: it cannot be read or has mistakes; holds all of them, with their lines.
    """
    return load(path, Definitions)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What of definitions is sound by itself.

    Attributes:
        alerts, slos: by their places in the lists.
    """

    interval: Duration | None
    notifications: Notifications | None
    alerts: Mapping[int, Alert]
    slos: Mapping[int, Slo]


def _all_parts(definitions: Definitions) -> _Parts:
    alerts, slos = dict(enumerate(definitions.alerts)), dict(enumerate(definitions.slos))
    return _Parts(definitions.interval, definitions.notifications, alerts, slos)


def _sound_parts(data: object) -> _Parts:
    """What is sound in a document with mistakes, so that these are told together with the rest."""
    given = data if isinstance(data, Mapping) else {}

    def sound_ones(key: str, model: type[W]) -> dict[int, W]:
        found = {}
        values = given.get(key)
        for index, value in enumerate(values if isinstance(values, list | tuple) else ()):
            with suppress(ValidationError):
                found[index] = model.model_validate(value)
        return found

    whole = Definitions()
    interval, notifications = None, None
    with suppress(ValidationError):
        interval = TypeAdapter(_Interval).validate_python(given.get("interval", whole.interval))
    with suppress(ValidationError):
        told = given.get("notifications", whole.notifications)
        notifications = Notifications.model_validate(told)
    return _Parts(interval, notifications, sound_ones("alerts", Alert), sound_ones("slos", Slo))


def _disagreements(parts: _Parts) -> Iterator[Finding]:
    """Where parts of the definitions do not go together."""
    taken: dict[str, str] = {}  # In lower case: file systems may not tell cases apart.
    lists: Mapping[str, Mapping[int, Alert | Slo]] = {"alerts": parts.alerts, "slos": parts.slos}
    for key, watched in lists.items():
        for index, each in watched.items():
            place = f"{key}[{index}]"
            holders = {taken.setdefault(name.lower(), place) for name in each.alert_names}
            if holders != {place}:
                first = min(holders - {place})
                message = f"expected a name of its own; {quoted(each.name)} is {first} already"
                yield (key, index, "name"), message
            for word in each.grouping:
                if (label := label_of(word)) in each.labels:
                    yield (key, index, "labels", label), f"each {word} has its own {label}"
            if parts.notifications is not None:
                for steps, message in _unknown_names(each, parts.notifications):
                    yield (key, index, *steps), message
    for index, alert in parts.alerts.items():
        if parts.interval and round(alert.period * 1000) % round(parts.interval * 1000):
            message = f"expected a multiple of {parts.interval}, the interval"
            yield ("alerts", index, "period"), f"{message}; found {alert.period}"
        elif alert.period > LONG_S and alert.period % HOUR_S:
            message = "expected whole hours for a period of more than a day"
            yield ("alerts", index, "period"), f"{message}; found {alert.period}"


def _unknown_names(watched: Alert | Slo, notifications: Notifications) -> Iterator[Finding]:
    groups = {group.name for group in notifications.groups}
    for number, group in enumerate(watched.notify):
        if group not in groups:
            yield ("notify", number), unknown(f"notification group {quoted(group)}", group, groups)
    name, hours = watched.hours, notifications.hours
    if name is not None and name not in hours:
        yield ("hours",), unknown(f"effective hours {quoted(name)}", name, hours)
