"""Words of definitions that several parts need: severities, and times to compare with."""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["critical", "error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "error", "warning", "info")
"""From worst to mildest."""

AGAINST: Mapping[str, str] = {
    "yesterday": "the same time yesterday",
    "last_week": "the same time last week",
    "previous_period": "the period before",
}

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "above": gt,
    "at_least": ge,
    "below": lt,
    "at_most": le,
}

HOUR_S = 3600
DAY_S = 24 * HOUR_S

OFFSETS_S: Mapping[str, float] = {"yesterday": DAY_S, "last_week": 7 * DAY_S}

LONG_S = DAY_S
"""Windows beyond this are summed in steps of an hour: no evaluation reads days of minutes."""
