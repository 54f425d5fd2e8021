"""What an alert says to a person at 3 a.m.: which model, how bad, since when, and where to look.

Annotations are Go templates. What a person wrote in a definition is never part of a template: its
braces are written so that they come out as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.alerting.alert import Alert
from exporter.alerting.definitions import Links
from exporter.alerting.labels import variable_of
from exporter.alerting.metrics import LABELS, Amount, Down, Unit
from exporter.alerting.slo import Slo
from exporter.alerting.thresholds import Threshold
from exporter.alerting.watched import Watched, label_of, spaced
from exporter.alerting.windows import BurnWindow
from exporter.alerting.words import AGAINST
from exporter.config import RESERVED_LABELS

_VALUE = {
    Unit.SHARE: "{{ $value | humanizePercentage }}",
    Unit.SECONDS: "{{ $value | humanizeDuration }}",
}


@dataclass(frozen=True, slots=True)
class Wording:
    """Sentences of an alert, as templates.

    Attributes:
        what: the value and what it was compared with.
        how: for how long, how much traffic is needed.
        filters: of the /requests page, which shows what it is about with them.
    """

    what: str
    how: str
    filters: tuple[str, ...] = ()


def literal(text: str) -> str:
    """Text that a Go template gives back as it is."""
    return text.replace("{{", '{{ "{{" }}')


def value_text(unit: Unit, *, change: bool) -> str:
    """A template of the value with its unit."""
    if change:
        return "{{ $value | humanizePercentage }}"
    return _VALUE.get(unit, "{{ $value | humanize }}")


def threshold_wording(alert: Alert, threshold: Threshold) -> Wording:
    """What an alert says when its value is over a threshold."""
    metric = alert.meaning()
    value = value_text(metric.unit, change=alert.against is not None)
    than = f"{spoken(alert.compare)} {threshold.text}"
    if isinstance(metric.kind, Down):
        what = "it cannot be scraped"
    elif alert.counts_windows:
        what = (
            f"{metric.text} {_verb(metric.unit)} {than} in {{{{ $value }}}} of the last "
            f"{alert.periods} periods of {alert.period}"
        )
    elif alert.against:
        what = f"{metric.text} changed by {value} against {AGAINST[alert.against]}, which is {than}"
    else:
        what = f"{metric.text} {_verb(metric.unit)} {value}, which is {than}"
    how = f"Looked at over {alert.period}"
    if metric.traffic is None and not isinstance(metric.kind, Amount):
        how = "Looked at now"
    if alert.periods > 1 and not alert.counts_windows:
        how += f", {alert.periods} periods in a row"
    if (least := alert.least_traffic(threshold)) and alert.tells_of_little_traffic:
        how += f"; compared with no fewer than {least} requests"
    elif least:
        how += f"; windows of fewer than {least} requests do not count"
    return Wording(what, f"{how}.", (f"status={metric.status}",) if metric.status else ())


def spoken(compare: str) -> str:
    """A comparison in a sentence."""
    return compare.replace("_", " ")


def _verb(unit: Unit) -> str:
    return "is" if unit in (Unit.SHARE, Unit.SECONDS, Unit.MONEY) else "are"


def missing_wording(alert: Alert) -> Wording:
    """What an alert says when there is no value."""
    text = alert.meaning().text
    return Wording(
        f"{text}: no data",
        "There is no value: no such requests, or no exporter that counts them. "
        "An alert about the value itself has resolved, whatever is going on.",
    )


def burn_wording(slo: Slo, window: BurnWindow) -> Wording:
    """What an alert says when an error budget is being used up."""
    kind, filters = "bad requests", ["status=error"]
    if slo.fast_enough:
        within_s = float(slo.fast_enough.within)
        kind, filters = f"requests slower than {within_s:g}s", ["status=success"]
        if slo.fast_enough.metric == "latency":
            filters.append(f"min_latency_ms={1000 * within_s:g}")
    return Wording(
        f"{{{{ $value | humanizePercentage }}}} {kind} within {window.long}; the objective is "
        f"{slo.objective.text} good over {slo.window}",
        f"At this rate {window.budget:.0%} of the error budget of {slo.window} are gone in "
        f"{window.long}. It was so over the last {window.short}, too.",
        tuple(filters),
    )


def annotations_of(definition: Watched, wording: Wording, links: Links) -> dict[str, str]:
    """The annotations of an alert."""
    by = definition.grouping
    who = ", ".join(f"{{{{ $labels.{label_of(word)} }}}}" for word in by)
    title = literal(definition.title) if definition.title else spaced(definition.name)
    what = wording.what[0].upper() + wording.what[1:] if not who else wording.what
    annotations = {
        "summary": f"{title}: {f'{who}: ' if who else ''}{what}",
        "description": f"{wording.how}{_scope(definition)}",
    }
    found = {
        "runbook_url": definition.runbook
        or (links.runbooks and f"{links.runbooks.rstrip('/')}/{page(definition.name)}.md"),
        "dashboard_url": _dashboard(definition.dashboard or links.dashboard, by),
        "requests_url": _requests(links.requests, by, wording),
    }
    return annotations | {key: url for key, url in found.items() if url}


def page(name: str) -> str:
    """The name of an alert's runbook page: `ErrorRate` is `error-rate`."""
    return spaced(name).lower().replace(" ", "-")


def _scope(definition: Watched) -> str:
    patterns: Mapping[str, tuple[str, ...]] = definition.scope.patterns()
    if not patterns:
        return ""
    told = "; ".join(f"{word} {', '.join(names)}" for word, names in patterns.items())
    return f" Only {literal(told)}."


def _dashboard(url: str | None, by: tuple[str, ...]) -> str | None:
    if url is None:
        return None
    variables = "&".join(f"var-{_variable(word)}={_queried(word)}" for word in by)
    return literal(url) + (f"{'&' if '?' in url else '?'}{variables}" if variables else "")


def _variable(word: str) -> str:
    """What our dashboards call the variable of a word: those of attributes have another name."""
    return word if word in LABELS or word in RESERVED_LABELS else variable_of(word)


def _requests(url: str | None, by: tuple[str, ...], wording: Wording) -> str | None:
    if url is None or "instance" in by:
        return None
    filters = [f"{word}={_queried(word)}" for word in ("model", "provider") if word in by]
    filters += wording.filters
    return f"{literal(url).rstrip('/')}/requests" + ("?" + "&".join(filters) if filters else "")


def _queried(word: str) -> str:
    return f"{{{{ $labels.{label_of(word)} | urlquery }}}}"
