"""Amazon CloudWatch: alarms on AWS/Bedrock, as `aws cloudwatch describe-alarms` prints them."""

import re
from collections.abc import Mapping

from exporter.alerting.importers.draft import (
    KEPT,
    ByHand,
    Draft,
    Json,
    figure,
    objects,
    seconds,
    threshold,
)

_OPERATORS = {
    "GreaterThanThreshold": "above",
    "GreaterThanOrEqualToThreshold": "at_least",
    "LessThanThreshold": "below",
    "LessThanOrEqualToThreshold": "at_most",
}
_OF_BANDS = (
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
)
_AMOUNTS: Mapping[str, tuple[str, str | None]] = {
    "Invocations": ("requests", None),
    "InvocationClientErrors": ("status_count", "4xx"),
    "InvocationServerErrors": ("status_count", "5xx"),
    "InvocationThrottles": ("throttled", None),
    "InputTokenCount": ("input_tokens", None),
    "OutputTokenCount": ("output_tokens", None),
}
"""Our metric, and its status, by the name of a metric of which sums are taken."""
_DURATIONS = {"InvocationLatency": "latency", "TimeToFirstToken": "ttft"}
_STATISTICS = {"Average": "average", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}
_SHARES = {"status_count": "status_rate", "throttled": "throttled_rate"}
_NO_DATA = {"breaching": "alert", "notBreaching": "ignore", "ignore": "keep", "missing": "ignore"}
_RATIO = re.compile(
    r"\s*100\s*\*\s*\(?(\w+)\s*/\s*(\w+)\)?\s*|\s*\(?(\w+)\s*/\s*(\w+)\)?\s*\*\s*100\s*"
)


def convert(document: object, draft: Draft) -> None:
    """Put the alarms of a document into a draft."""
    for alarm in objects(document, "MetricAlarms", "CompositeAlarms"):
        title = str(alarm.get("AlarmName") or "alarm")
        try:
            draft.add_alert(_converted(title, alarm, draft))
        except ByHand as reason:
            draft.remark(title, "alarm", f"{reason}; by hand")


def _converted(title: str, alarm: Json, draft: Draft) -> dict[str, object]:
    if "AlarmRule" in alarm:
        raise ByHand(f"a composite alarm has no counterpart: {alarm['AlarmRule']}")
    if "EvaluationCriteria" in alarm:
        raise ByHand("it is a PromQL alarm over other metrics")
    operator = str(alarm.get("ComparisonOperator"))
    if operator in _OF_BANDS:
        raise ByHand(f"{operator} compares with a band that was learnt from the past")
    if operator not in _OPERATORS:
        raise ByHand(f"the comparison {operator} has no counterpart")
    metric, status, scope, period_s, factor = _what(title, alarm, draft)
    periods = int(figure(alarm.get("EvaluationPeriods") or 1, "EvaluationPeriods"))
    breaching = int(figure(alarm.get("DatapointsToAlarm") or periods, "DatapointsToAlarm"))
    alert: dict[str, object] = {"name": draft.name(title), "title": title, "metric": metric}
    if status:
        alert["status"] = status
    if scope:
        alert["scope"] = {"models": scope}
    alert["by"] = ["model"] if scope else []
    alert |= {"period": seconds(period_s), "periods": periods}
    if breaching < periods:
        alert["breaching"] = breaching
    alert["compare"] = _OPERATORS[operator]
    limit = figure(alarm.get("Threshold"), "Threshold")
    alert["severities"] = {"warning": threshold(metric, limit, factor=factor)}
    missing = str(alarm.get("TreatMissingData") or "missing")
    alert["no_data"] = _NO_DATA.get(missing, "ignore")
    if status == "4xx":
        draft.remark(title, "InvocationClientErrors", "leave out throttled calls; 4xx does not")
    _report(title, alarm, missing, draft)
    return alert


def _what(title: str, alarm: Json, draft: Draft) -> tuple[str, str | None, list[str], float, float]:
    """Metric, status, models, seconds of a period, and factor of the threshold."""
    if not alarm.get("Metrics"):
        statistic = str(alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "")
        metric, status = _metric(alarm, statistic)
        factor = 0.001 if alarm.get("MetricName") in _DURATIONS else 1
        return metric, status, _models(alarm), figure(alarm.get("Period") or 60, "Period"), factor
    entries = {str(entry["Id"]): entry for entry in alarm["Metrics"]}
    told = [entry for entry in entries.values() if entry.get("ReturnData", True)]
    if len(told) != 1:
        raise ByHand("it has several values, or a band")
    if "Expression" not in told[0]:
        return _of_entry(told[0])
    match = _RATIO.fullmatch(str(told[0]["Expression"]))
    if match is None:
        raise ByHand(f"the expression {told[0]['Expression']!r} is not a percentage of two metrics")
    names = [name for name in match.groups() if name]
    if not all(name in entries for name in names):
        raise ByHand(f"the expression {told[0]['Expression']!r} rests on other expressions")
    part, whole = (_of_entry(entries[name]) for name in names)
    if whole[0] != "requests" or part[0] not in _SHARES or part[2:4] != whole[2:4]:
        raise ByHand(f"the expression {told[0]['Expression']!r} has no counterpart")
    draft.remark(
        title,
        "Metrics",
        "Bedrock leaves throttled calls out of Invocations; here they are requests, too",
    )
    return _SHARES[part[0]], part[1], part[2], part[3], 1


def _of_entry(entry: Json) -> tuple[str, str | None, list[str], float, float]:
    stat = entry.get("MetricStat") or {}
    inner = stat.get("Metric") or {}
    metric, status = _metric(inner, str(stat.get("Stat") or ""))
    factor = 0.001 if inner.get("MetricName") in _DURATIONS else 1
    return metric, status, _models(inner), figure(stat.get("Period") or 60, "Period"), factor


def _metric(source: Json, statistic: str) -> tuple[str, str | None]:
    namespace, name = source.get("Namespace"), str(source.get("MetricName"))
    if namespace != "AWS/Bedrock" or name not in (*_AMOUNTS, *_DURATIONS):
        raise ByHand(f"{namespace}/{name} has no counterpart here")
    if name in _DURATIONS:
        if statistic not in _STATISTICS:
            raise ByHand(f"the statistic {statistic} of {name} has no counterpart")
        return f"{_DURATIONS[name]}_{_STATISTICS[statistic]}", None
    if statistic != "Sum":
        raise ByHand(f"the statistic {statistic} of {name} has no counterpart")
    return _AMOUNTS[name]


def _models(source: Json) -> list[str]:
    dimensions = {each["Name"]: each["Value"] for each in source.get("Dimensions") or []}
    models = dimensions.pop("ModelId", None)
    if dimensions:
        raise ByHand(f"the dimension {', '.join(dimensions)} has no counterpart")
    return [str(models)] if models else []


def _report(title: str, alarm: Json, missing: str, draft: Draft) -> None:
    draft.remark(title, "severity", "CloudWatch has none; now warning")
    if missing == "ignore":
        draft.remark(title, "TreatMissingData", KEPT)
    if missing == "breaching":
        draft.remark(title, "TreatMissingData", "missing data is an alert of its own, and milder")
    for part in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        for action in alarm.get(part) or []:
            draft.remark(title, part, f"{action}: make a notification group of it")
    if alarm.get("ActionsEnabled") is False:
        draft.remark(title, "ActionsEnabled", "nobody is told at the source")
