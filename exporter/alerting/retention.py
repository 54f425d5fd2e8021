"""How long a Prometheus must remember for what definitions look back to."""

from collections.abc import Iterator

from exporter.alerting.alert import Alert
from exporter.alerting.definitions import Definitions
from exporter.alerting.rules import offset_of
from exporter.alerting.slo import Slo
from exporter.quantities import Duration

USUAL = Duration("15d")
"""What a Prometheus remembers unless it is told otherwise."""


def remarks(definitions: Definitions) -> Iterator[str]:
    """Definitions that need more than the usual."""
    watched: tuple[Alert | Slo, ...] = (*definitions.alerts, *definitions.slos)
    for each in watched:
        if (back := _looks_back(each)) > USUAL:
            yield (
                f"{each.name} looks back {back}; Prometheus remembers {USUAL} unless "
                "--storage.tsdb.retention.time says more"
            )


def _looks_back(definition: Alert | Slo) -> Duration:
    if isinstance(definition, Slo):
        return definition.window
    before_s = offset_of(definition) if definition.against else 0
    return Duration(definition.period * definition.periods + before_s)
