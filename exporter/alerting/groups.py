"""From definitions to groups of recording and alerting rules."""

from dataclasses import dataclass, field

from exporter.alerting.definitions import Definitions
from exporter.alerting.objectives import budget_left, budget_step_s, burn_alerts, burn_rates
from exporter.alerting.records import Records
from exporter.alerting.rules import AlertRule, alerts_of


@dataclass
class Group:
    """Rules that are evaluated one after another, records before what reads them."""

    name: str
    records: Records
    alerts: list[AlertRule] = field(default_factory=list)

    @property
    def interval_s(self) -> float:
        return self.records.interval_s


def groups_of(definitions: Definitions) -> list[Group]:
    """All rules: a group for each counter or histogram and those that are compared with it."""
    groups: dict[str, Group] = {}

    def group(name: str, interval_s: float = definitions.interval) -> Group:
        full = f"llm-gateway-{name.replace('_', '-')}"
        return groups.setdefault(name, Group(full, Records(interval_s)))

    for alert in definitions.alerts:
        into = group(alert.meaning().group)
        into.alerts.extend(alerts_of(alert, into.records, definitions))
    for slo in definitions.slos:
        into = group(slo.meaning().group)
        into.alerts.extend(burn_alerts(slo, into.records, definitions))
        burn_rates(slo, into.records)
        # Weeks of growth are added up less often than alerts are looked at.
        budgets = group("budgets", budget_step_s(definitions.interval))
        budget_left(slo, into.records, budgets.records)
    return list(groups.values())
