"""Who is told of an alert, by what means and at which hours."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, model_validator

from exporter.alerting.words import SEVERITIES, Severity
from exporter.config import Name, Text, Zone
from exporter.documents import Finding, Section, checked, exactly_one, sound
from exporter.mistakes import unknown
from exporter.quantities import Duration, between

Day: TypeAlias = Literal[
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
]
DAYS: tuple[Day, ...] = (
    *("monday", "tuesday", "wednesday", "thursday", "friday"),
    *("saturday", "sunday"),
)

KINDS = (
    *("webhook", "email", "slack", "pagerduty", "opsgenie", "teams"),
    *("dingtalk", "wecom", "feishu"),
)
"""Keys of a receiver, of which it has exactly one."""

NOBODY = "nobody"
"""Receiver of alerts that no definition sends anywhere."""

Clock = Annotated[str, Field(pattern="^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
Address = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
Mail = Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")]
HostPort = Annotated[str, Field(pattern=r"^[^\s:]+:[0-9]{1,5}$")]


def _path(value: Path) -> Path:
    if not value.name:
        raise ValueError("expected a file")
    return value


def _in_order(severities: tuple[Severity, ...]) -> tuple[Severity, ...]:
    return tuple(each for each in SEVERITIES if each in severities)


SecretFile = Annotated[Path, AfterValidator(_path)]
Severities = Annotated[tuple[Severity, ...], Field(min_length=1), AfterValidator(_in_order)]


class TimeRange(Section):
    """A time of day. One that ends before it begins goes on into the next day."""

    start: Clock = "00:00"
    """Hour and minute, such as "09:00"."""

    end: Clock = "24:00"
    """Hour and minute, not included; 23:59 is read as the end of the day."""

    @property
    def minutes(self) -> tuple[int, int]:
        """Start and end in minutes of the day; an end beyond 1440 is on the next day."""
        start, end = _minutes(self.start), _minutes(self.end)
        end = 1440 if end == 1439 else end
        return start % 1440, end if end > start % 1440 else end + 1440


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


class Hours(Section):
    """Effective hours: outside them alerts still fire, but nobody is told."""

    timezone: Zone
    """IANA time zone, such as Asia/Shanghai."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    """Days of the week on which the times begin."""

    times: Annotated[tuple[TimeRange, ...], Field(min_length=1)] = (TimeRange(),)
    """Times of the day."""


class Webhook(Section):
    """Alertmanager's own JSON, posted to an address."""

    url: Address
    """Address."""

    token_file: SecretFile | None = None
    """File of a bearer token."""


class Bridge(Section):
    """A chat robot, reached through a webhook bridge: Alertmanager does not speak its format."""

    bridge: Address
    """Address of the bridge, which holds the robot's own address and secret."""


class Email(Section):
    """Mail through a server that takes it in."""

    to: Annotated[tuple[Mail, ...], Field(min_length=1)]
    """Addresses."""

    sender: Mail
    """Address that the mail comes from."""

    server: HostPort
    """Host and port."""

    username: Text | None = None
    """Name to log in with."""

    password_file: SecretFile | None = None
    """File of the password."""


class Slack(Section):
    """A Slack channel, by an incoming webhook."""

    channel: Text
    """Channel, such as "#oncall"."""

    url_file: SecretFile
    """File of the webhook's address."""


class PagerDuty(Section):
    """PagerDuty's Events API v2."""

    routing_key_file: SecretFile
    """File of the integration key."""


class Opsgenie(Section):
    """Opsgenie's alert API."""

    api_key_file: SecretFile
    """File of the key."""


class Teams(Section):
    """A Microsoft Teams workflow. Needs Alertmanager 0.28 or newer."""

    url_file: SecretFile
    """File of the workflow's address."""


class Receiver(Section):
    """One way to tell somebody."""

    webhook: Webhook | None = None
    """JSON to an address."""
    email: Email | None = None
    """Mail."""
    slack: Slack | None = None
    """Slack."""
    pagerduty: PagerDuty | None = None
    """PagerDuty."""
    opsgenie: Opsgenie | None = None
    """Opsgenie."""
    teams: Teams | None = None
    """Microsoft Teams."""
    dingtalk: Bridge | None = None
    """DingTalk, through a bridge."""
    wecom: Bridge | None = None
    """WeCom, through a bridge."""
    feishu: Bridge | None = None
    """Feishu, through a bridge."""

    send_resolved: bool = True
    """Whether the end of an alert is told, too."""

    severities: Severities = SEVERITIES
    """Alerts of which severities go this way."""

    @model_validator(mode="wrap")
    @classmethod
    def _one_kind(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, exactly_one(data, *KINDS))


class Group(Section):
    """People who are told together."""

    name: Name
    """What definitions call it."""

    receivers: Annotated[tuple[Receiver, ...], Field(min_length=1)]
    """Ways to tell them."""


class Notifications(Section):
    """Who is told, how, and when."""

    groups: tuple[Group, ...] = ()
    """Notification groups."""

    hours: Mapping[Name, Hours] = {}
    """Effective hours, by name."""

    default: Name | None = None
    """Group that is told of alerts that no definition sends anywhere, those of others included;
    nobody, when left out. Its receivers of all severities are told, too, of those that nobody takes
    where they are sent."""

    wait: Annotated[Duration, between(Duration("0s"), Duration("1h"))] = Duration("30s")
    """How long a first notification waits for further alerts of its kind."""

    wait_between: Annotated[Duration, between(Duration("1s"), Duration("1d"))] = Duration("5m")
    """Shortest time between notifications of the same kind when more alerts join."""

    repeat: Annotated[Duration, between(Duration("1m"), Duration("30d"))] = Duration("4h")
    """Time after which those who were told of an alert that goes on are told again."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        notifications = handler(data)
        return sound(notifications, _disagreements(notifications))


def _disagreements(notifications: Notifications) -> Iterator[Finding]:
    names = [group.name for group in notifications.groups]
    for index, name in enumerate(names):
        if name in names[:index]:
            first = names.index(name)
            yield ("groups", index, "name"), f"expected a name of its own; groups[{first}] has it"
        if name == NOBODY:
            yield ("groups", index, "name"), f"expected another name; {NOBODY} is who is never told"
    if notifications.default is not None and notifications.default not in names:
        yield ("default",), unknown("notification group", notifications.default, names)
