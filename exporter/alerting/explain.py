"""An alert in plain words, and what it sees now."""

import time
from collections.abc import Iterator

from exporter.alerting import humanize
from exporter.alerting.alert import Alert
from exporter.alerting.burning import burning
from exporter.alerting.definitions import Definitions
from exporter.alerting.metrics import Unit
from exporter.alerting.objectives import (
    burn_alerts,
    burn_windows,
    least_traffic_of,
    looked_at,
)
from exporter.alerting.prometheus import Labels, Prometheus
from exporter.alerting.records import Records, WithoutRecords
from exporter.alerting.rules import alerts_of, watch
from exporter.alerting.slo import Slo
from exporter.alerting.texts import spoken
from exporter.alerting.thresholds import text_of
from exporter.alerting.watched import spaced
from exporter.alerting.words import AGAINST, SEVERITIES


def explained(definition: Alert | Slo, definitions: Definitions) -> str:
    """What a definition watches and when it fires, and the PromQL that says so."""
    records = Records(definitions.interval)
    if isinstance(definition, Alert):
        words = list(_alert_in_words(definition))
        alerts = list(alerts_of(definition, records, definitions))
    else:
        words = list(_slo_in_words(definition))
        alerts = list(burn_alerts(definition, records, definitions))
    parts = [f"{definition.name}: {definition.title or spaced(definition.name)}", "", *words]
    for record in records.rules.values():
        parts += ["", f"record {record.name}", str(record.expression)]
    for alert in alerts:
        parts += ["", f"alert {alert.name} ({alert.labels['severity']})", str(alert.expression)]
    return "\n".join(parts)


def _whose(definition: Alert | Slo) -> str:
    apart = " and ".join(f"each {word}" for word in definition.grouping) or "all together"
    scope = "; ".join(
        f"{word} {', '.join(names)}" for word, names in definition.scope.patterns().items()
    )
    return f"{apart}{f', of {scope} only' if scope else ''}"


def _alert_in_words(alert: Alert) -> Iterator[str]:
    metric = alert.meaning()
    since = f", and how it changed since {AGAINST[alert.against]}" if alert.against else ""
    yield f"Watches: {metric.text}{since}; for {_whose(alert)}."
    yield f"Looks at: windows of {text_of(alert.period)}."
    for severity in SEVERITIES:
        if (threshold := alert.severities.get(severity)) is None:
            continue
        often = ""
        if alert.counts_windows:
            often = f" in {alert.breaching} of the last {alert.periods} windows"
        elif alert.periods > 1:
            often = f" in {alert.periods} windows in a row"
        least = alert.least_traffic(threshold)
        enough = ""
        if least and alert.tells_of_little_traffic:
            enough = f"; compared with {least} requests or more"
        elif least:
            enough = f"; a window counts when it holds {least} requests or more"
        yield f"Is {severity}: {spoken(alert.compare)} {threshold.text}{often}{enough}."
    if alert.floor is not None:
        yield f"Leaves out: changes of values below {alert.floor.text}."
    told = {"ignore": "nothing", "keep": "it goes on firing", "alert": "an alert of its own"}
    yield f"Without data: {told[alert.no_data]}."


def _slo_in_words(slo: Slo) -> Iterator[str]:
    good = "successful"
    if slo.fast_enough:
        good = f"within {text_of(slo.fast_enough.within)} ({slo.fast_enough.metric})"
    yield f"Asks for: {slo.objective.text} of requests {good}, over {slo.window}; {_whose(slo)}."
    for window in burn_windows(slo):
        share = humanize.percentage(slo.bad_share(window))
        yield (
            f"Is {window.severity}: more than {share} bad over {window.long} and over "
            f"{window.short}, which is {window.budget:.0%} of the budget in {window.long}; with "
            f"{least_traffic_of(slo, window)} requests or more."
        )


def values_now(definition: Alert | Slo, prometheus: Prometheus) -> Iterator[str]:
    """The value now of each that is kept apart, a line each; from the counters alone.

    Raises:
        PrometheusFailed: it cannot be reached, or refuses the expression.
    """
    if isinstance(definition, Slo):
        yield from _burning_now(definition, prometheus)
        return
    metric, level = definition.meaning(), watch(definition).narrowed
    value = WithoutRecords(definition.period).value(metric.kind, level, definition.period)
    found = prometheus.now(value)
    if not found:
        yield f"now: no value over the last {definition.period}"
    for labels, seen in sorted(found.items()):
        yield f"now: {_named(labels)}: {_spoken(seen, metric.unit)}"


def _burning_now(slo: Slo, prometheus: Prometheus) -> Iterator[str]:
    past = burning(slo, prometheus, time.time())
    if not past.requests:
        yield "now: no requests"
    for labels, requests in sorted(past.requests.items()):
        shares = [
            f"{humanize.percentage(share)} bad over {length}"
            for length in looked_at(slo)
            if (share := requests.share(past.steps, round(length / past.step_s))) is not None
        ]
        yield f"now: {_named(labels)}: {', '.join(shares) or 'no requests'}"


def _named(labels: Labels) -> str:
    return ", ".join(text for _, text in labels) or "all"


def _spoken(value: float, unit: Unit) -> str:
    if unit is Unit.SHARE:
        return humanize.percentage(value)
    return humanize.duration(value) if unit is Unit.SECONDS else humanize.humanized(value)
