"""What alerts and service level objectives have in common: whose requests, and who is told."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Annotated

from pydantic import AfterValidator, Field

from exporter import vocabulary as v
from exporter.alerting.metrics import LABELS
from exporter.alerting.records import REPLICAS
from exporter.config import Name, Text
from exporter.documents import Section
from exporter.quantities import Duration, between
from exporter.vocabulary import prometheus_label

FEWEST = 20
"""What a share, mean or quantile rests on at the least, unless a definition says otherwise."""

OWN_LABELS = ("alertname", "alert_id", "severity", "burn_window")

NOT_KEPT_APART = frozenset(
    {
        *REPLICAS,
        *("le", "quantile"),
        *(prometheus_label(name) for each in v.INSTRUMENTS for name in each.attributes),
    }
)
"""Labels that values do not have: those of replicas, and those by which a metric counts."""


def _identity(name: str) -> str:
    if name in NOT_KEPT_APART:
        raise ValueError("expected model, provider, operation or an extra attribute")
    return name


def _fixed(text: str) -> str:
    if "{{" in text:
        raise ValueError('expected text without "{{": what tells alerts apart is no template')
    return text


def _free_label(name: str) -> str:
    if name in OWN_LABELS or name.startswith("__"):
        raise ValueError(f"expected a label that is not reserved ({', '.join(OWN_LABELS)})")
    return name


AlertName = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Label = Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$"), AfterValidator(_identity)]
OwnLabel = Annotated[str, Field(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"), AfterValidator(_free_label)]
LabelValue = Annotated[Text, AfterValidator(_fixed)]
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

    labels: Mapping[OwnLabel, LabelValue] = {}
    """Further labels of the alert."""

    @property
    def alert_names(self) -> tuple[str, ...]:
        """Names of its alerts in Prometheus."""
        return (self.name,)

    @property
    def grouping(self) -> tuple[str, ...]:
        """Words of the labels each of whose values is watched by itself."""
        return ("model",) if self.by is None else self.by


def enough_for_two(share: Fraction | float) -> int:
    """So many that two are needed to exceed a share: one failure at night pages nobody."""
    return max(FEWEST, ceil(2 / share)) if share > 0 else FEWEST


def label_of(word: str) -> str:
    """The label that a word of a definition means."""
    return LABELS.get(word, word)


def spaced(name: str) -> str:
    """A name in CamelCase as words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", name)
    return words[0].upper() + words[1:]
