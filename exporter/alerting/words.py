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

OFFSETS_S: Mapping[str, float] = {"yesterday": 86_400, "last_week": 604_800}

HOUR_S = 3600

LONG_S = 86_400
"""Windows beyond this are summed in steps of an hour: no evaluation reads days of minutes."""
