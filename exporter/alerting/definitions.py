"""Alert definitions: what each key may hold, and what it means.

The text under a key is its description in the JSON Schema that editors use.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from exporter.alerting.coherence import Parts, disagreements, incoherences, slo_incoherences
from exporter.alerting.metrics import (
    BY_CURRENCY,
    BY_STATUS,
    LABELS,
    METRICS,
    Amount,
    Metric,
    Quantile,
    Share,
    of_currency,
    of_status,
)
from exporter.alerting.notifications import Notifications
from exporter.alerting.soundness import sound
from exporter.alerting.thresholds import Threshold
from exporter.alerting.words import Severity
from exporter.config import Name, Text
from exporter.documents import Section, checked, load
from exporter.mistakes import unknown
from exporter.quantities import Duration, between

FEWEST = 20
"""What a share, mean or quantile rests on at the least, unless a definition says otherwise."""

OWN_LABELS = ("alertname", "alert_id", "severity", "burn_window")


def _known_metric(word: str) -> str:
    if word not in METRICS:
        raise ValueError(unknown("metric", word, METRICS))
    return word


def _free_label(name: str) -> str:
    if name in OWN_LABELS or name.startswith("__"):
        raise ValueError(f"expected a label that is not reserved ({', '.join(OWN_LABELS)})")
    return name


MetricWord = Annotated[str, AfterValidator(_known_metric)]
AlertName = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Label = Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$")]
OwnLabel = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"), AfterValidator(_free_label)]
Patterns = Annotated[tuple[Text, ...], Field(min_length=1)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s\"'<>{}]+$")]


class Scope(Section):
    """Whose requests count. In names, * and ? stand for any characters."""

    models: Patterns | None = None
    """Models; all when left out."""

    providers: Patterns | None = None
    """Providers; all when left out."""

    operations: Patterns | None = None
    """Operations such as chat or embeddings; all when left out."""

    attributes: Mapping[Label, Patterns] = {}
    """Values of extra attributes, such as workspace."""

    def patterns(self) -> dict[str, tuple[str, ...]]:
        """What is asked of each label, by the word for it."""
        given = {"model": self.models, "provider": self.providers, "operation": self.operations}
        return {**{word: asked for word, asked in given.items() if asked}, **self.attributes}


class Watched(Section):
    """What alerts and service level objectives have in common."""

    name: AlertName
    """Name of the alert and its unique id: routes, silences and runbooks go by it."""

    title: Text | None = None
    """A sentence for people, in place of the one made from the definition."""

    scope: Scope = Scope()
    """Whose requests count; everybody's when left out."""

    by: Annotated[tuple[Label, ...], Field(max_length=6)] | None = None
    """Labels each of whose values is watched by itself: model (the default), provider, operation or
    an extra attribute; an empty list watches all together."""

    minimum_traffic: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """Requests that a window must hold before it can fire. Left out: so many that one failure, or
    one slow request, is not enough."""

    notify: tuple[Name, ...] = ()
    """Notification groups that are told."""

    hours: Name | None = None
    """Effective hours, by name: outside them nobody is told. Always, when left out."""

    repeat: Annotated[Duration, between(Duration("1m"), Duration("30d"))] | None = None
    """Time after which those who were told are told again; default: as in `notifications`."""

    runbook: Url | None = None
    """Page that says what to do; the default is made from `links.runbooks`."""

    dashboard: Url | None = None
    """Page that shows what happens; the default is `links.dashboard`."""

    labels: Mapping[OwnLabel, Text] = {}
    """Further labels of the alert."""

    @property
    def alert_names(self) -> tuple[str, ...]:
        """Names of its alerts in Prometheus."""
        return (self.name,)

    @property
    def grouping(self) -> tuple[str, ...]:
        """Words of the labels each of whose values is watched by itself."""
        return ("model",) if self.by is None else self.by


W = TypeVar("W", bound=Watched)


class Alert(Watched):
    """A threshold, and what happens when a metric crosses it."""

    metric: MetricWord
    """What is watched."""

    status: Annotated[str, Field(pattern="^[1-5]([0-9][0-9]|xx)$")] | None = None
    """Status code, such as "503", or class, such as "5xx", of status_count and status_rate."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    """Currency of cost."""

    period: Annotated[Duration, between(Duration("1s"), Duration("30d"))] = Duration("5m")
    """Length of a window."""

    periods: Annotated[int, Field(ge=1, le=1000)] = 1
    """Windows in a row that must be over the threshold."""

    breaching: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many of the `periods` last windows must be over the threshold; all, when left out."""

    compare: Literal["above", "at_least", "below", "at_most"] = "above"
    """How the value is compared with the threshold."""

    against: Literal["yesterday", "last_week", "previous_period"] | None = None
    """Compare the change, in percent, since then instead of the value."""

    floor: Threshold | None = None
    """Of a change: the greater of both values must be at least this."""

    severities: Annotated[Mapping[Severity, Threshold], Field(min_length=1)]
    """A threshold for each severity: critical, error, warning, info."""

    no_data: Literal["ignore", "alert", "keep"] = "ignore"
    """What it means when there is no value: nothing, an alert of its own at a lower severity, or
    that the alert goes on as it was (for `keep_firing_for`)."""

    keep_firing_for: Annotated[Duration, between(Duration("1m"), Duration("7d"))] | None = None
    """How long an alert goes on firing after its value came back; 1h when no_data is keep."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        alert = handler(data)
        return sound(alert, incoherences(alert))

    def meaning(self) -> Metric:
        """The metric, narrowed to the status or currency that is asked for."""
        metric = METRICS[self.metric]
        if self.metric in BY_STATUS and self.status is not None:
            return of_status(metric, self.status)
        return of_currency(metric, self.currency) if self.metric in BY_CURRENCY else metric

    @property
    def alert_names(self) -> tuple[str, ...]:
        """Names of its alerts in Prometheus."""
        return (self.name, f"{self.name}NoData")

    @property
    def grouping(self) -> tuple[str, ...]:
        """Words of the labels each of whose values is watched by itself."""
        return self.meaning().by if self.by is None else self.by

    def least_traffic(self, threshold: Threshold) -> int:
        """Things that a window must hold; 0: any."""
        metric = self.meaning()
        if metric.traffic is None:
            return 0
        if self.minimum_traffic is not None:
            return self.minimum_traffic
        if self.against is not None:
            return FEWEST
        if isinstance(metric.kind, Amount):
            return 0
        if isinstance(metric.kind, Quantile):
            return max(FEWEST, ceil(1 / min(metric.kind.quantile, 1 - metric.kind.quantile) - 1e-9))
        if isinstance(metric.kind, Share):
            return enough_for_two(threshold.value if self.rising else 1 - threshold.value)
        return FEWEST

    @property
    def rising(self) -> bool:
        """Whether greater values are worse."""
        return self.compare in ("above", "at_least")

    @property
    def tells_of_little_traffic(self) -> bool:
        """Whether little traffic now is what it is about, and no reason to doubt its value."""
        is_amount = isinstance(self.meaning().kind, Amount)
        return is_amount and self.against is not None and not self.rising

    @property
    def counts_windows(self) -> bool:
        """Whether windows over the threshold are counted, as some of them may be below it."""
        return self.breaching is not None and self.breaching < self.periods

    @property
    def kept_s(self) -> float:
        """Seconds that it goes on firing after its value came back."""
        if self.keep_firing_for is not None:
            return self.keep_firing_for
        return Duration("1h") if self.no_data == "keep" else 0


def enough_for_two(share: Fraction | float) -> int:
    """So many that two are needed to exceed a share: one failure at night pages nobody."""
    return max(FEWEST, ceil(2 / share)) if share > 0 else FEWEST


class FastEnough(Section):
    """A latency objective: successes that are not slower count as good."""

    metric: Literal["latency", "ttft"]
    """Whole answer, or its first token."""

    within: Duration
    """The longest good time; must be a bound of the histogram's buckets."""


class Slo(Watched):
    """A service level objective: alerts fire when its error budget is used up too fast."""

    objective: Threshold
    """Share of requests that must be good, such as 99.5%."""

    window: Annotated[Duration, between(Duration("1d"), Duration("90d"))] = Duration("30d")
    """Time over which the objective must be met."""

    fast_enough: FastEnough | None = None
    """What a good request is, where success is not enough."""

    burn_windows: str = "sre-workbook"
    """Table of burn rates and windows."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        slo = handler(data)
        return sound(slo, slo_incoherences(slo))


class Links(Section):
    """Where the links in notifications lead."""

    runbooks: Annotated[str, Field(pattern=r"^[^\s\"'<>{}]+$")] | None = None
    """Address or path of the runbooks: the page of ErrorRate is error-rate.md in it."""

    dashboard: Url | None = None
    """Dashboard; the alert's labels are given to it as variables."""

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
            return checked(data, handler, disagreements(_sound_parts(data)))
        return sound(definitions, disagreements(definitions.parts()))

    def parts(self) -> Parts:
        """All of it."""
        alerts, slos = dict(enumerate(self.alerts)), dict(enumerate(self.slos))
        return Parts(self.interval, self.notifications, alerts, slos)


def _sound_parts(data: object) -> Parts:
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
    return Parts(interval, notifications, sound_ones("alerts", Alert), sound_ones("slos", Slo))


def load_definitions(path: Path) -> Definitions:
    """The definitions at `path`.

    Raises:
        DocumentError: it cannot be read or has mistakes; holds all of them, with their lines.
    """
    return load(path, Definitions)


def has_wildcard(pattern: str) -> bool:
    """Whether a name in a scope stands for several."""
    return bool({"*", "?"} & set(pattern))


def label_of(word: str) -> str:
    """The label that a word of a definition means."""
    return LABELS.get(word, word)


def spaced(name: str) -> str:
    """A name in CamelCase as words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", name)
    return words[0].upper() + words[1:]
