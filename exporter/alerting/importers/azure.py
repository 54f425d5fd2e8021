"""Azure Monitor metric alerts: ARM templates and what `az monitor metrics alert` prints."""

from collections.abc import Iterator, Mapping

from exporter.alerting.importers.draft import (
    ByHand,
    Draft,
    Json,
    figure,
    iso_seconds,
    objects,
    seconds,
    threshold,
)

_SEVERITIES = ("critical", "error", "warning", "info", "info")
_OPERATORS = {
    "GreaterThan": "above",
    "GreaterThanOrEqual": "at_least",
    "LessThan": "below",
    "LessThanOrEqual": "at_most",
}
_METRICS: Mapping[str, tuple[str, str, float]] = {
    "AzureOpenAIRequests": ("requests", "Total", 1),
    "AzureOpenAIAvailabilityRate": ("success_rate", "Average", 1),
    "AzureOpenAITimeToResponse": ("ttft_average", "Average", 0.001),
    "AzureOpenAITTLTInMS": ("latency_average", "Average", 0.001),
    "ProcessedPromptTokens": ("input_tokens", "Total", 1),
    "GeneratedTokens": ("output_tokens", "Total", 1),
    "TokenTransaction": ("total_tokens", "Total", 1),
}
"""Our metric, the aggregation that it stands for, and the factor of thresholds."""
_NEARLY = {
    "AzureOpenAIAvailabilityRate": "counts only 5xx as failures; success_rate counts all failures",
}
_NOT = {
    "AzureOpenAINormalizedTTFTInMS": "is the time per token of the prompt, not to the first token",
    **dict.fromkeys(
        ("Latency", "TotalErrors", "SuccessRate", "BlockedCalls", "TotalCalls", "SuccessfulCalls"),
        "does not count calls of Azure OpenAI: the alert is nonsense at the source",
    ),
    "AzureOpenAIThrottledRequests": "does not exist at the source: the alert never fires",
}


def convert(document: object, draft: Draft) -> None:
    """Put the alerts of a document into a draft."""
    for number, resource in enumerate(_resources(document), start=1):
        properties = resource.get("properties") or resource
        title = str(resource.get("name") or properties.get("description") or f"alert {number}")
        kind = str(resource.get("type") or "Microsoft.Insights/metricAlerts")
        try:
            if kind.lower() != "microsoft.insights/metricalerts":
                raise ByHand(f"{kind} is no metric alert")
            draft.add_alert(_converted(title, properties, draft))
        except ByHand as reason:
            draft.remark(title, "criteria", f"{reason}; by hand")


def _resources(document: object) -> Iterator[Json]:
    """Those of a template or a list; a resource may hold others, or an empty list of them."""
    for each in objects(document):
        inside = [each[key] for key in ("resources", "value") if key in each]
        if "properties" in each or not inside:
            yield each
        yield from _resources(inside)


def _converted(title: str, properties: Json, draft: Draft) -> dict[str, object]:
    criteria = (properties.get("criteria") or {}).get("allOf") or []
    if not criteria:
        raise ByHand("it has no criterion")
    if len(criteria) > 1:
        raise ByHand(f"it has {len(criteria)} criteria that must hold together")
    (criterion,) = criteria
    if "Dynamic" in str(criterion.get("criterionType")):
        raise ByHand("a threshold that is learnt from the past has no counterpart")
    operator = str(criterion.get("operator"))
    if operator not in _OPERATORS:
        raise ByHand(f"the comparison {operator} has no counterpart")
    metric, factor = _metric(title, criterion, draft)
    metric, status, models, by = _dimensions(metric, criterion, draft, title)
    alert: dict[str, object] = {"name": draft.name(title), "title": title, "metric": metric}
    if status:
        alert["status"] = status
    if models:
        alert["scope"] = {"models": models}
    alert["by"] = by
    alert["period"] = seconds(iso_seconds(str(properties.get("windowSize") or "PT5M")))
    alert["compare"] = _OPERATORS[operator]
    severity = _severity(properties)
    limit = threshold(metric, figure(criterion.get("threshold"), "the threshold"), factor=factor)
    alert["severities"] = {severity: limit}
    _report(title, properties, draft)
    return alert


def _severity(properties: Json) -> str:
    number = int(figure(properties.get("severity", 3), "the severity"))
    if not 0 <= number < len(_SEVERITIES):
        raise ByHand(f"there is no severity {number}")
    return _SEVERITIES[number]


def _metric(title: str, criterion: Json, draft: Draft) -> tuple[str, float]:
    name = str(criterion.get("metricName"))
    if name in _NOT:
        raise ByHand(f"{name} {_NOT[name]}")
    if name not in _METRICS:
        raise ByHand(f"{name} has no counterpart here")
    if name in _NEARLY:
        draft.remark(title, name, _NEARLY[name])
    metric, wanted, factor = _METRICS[name]
    aggregation = str(criterion.get("timeAggregation") or criterion.get("time_aggregation"))
    if aggregation != wanted:
        nonsense = ": nonsense at the source" if aggregation == "Total" else ""
        raise ByHand(f"the aggregation {aggregation} of {name} has no counterpart{nonsense}")
    return metric, factor


def _dimensions(
    metric: str, criterion: Json, draft: Draft, title: str
) -> tuple[str, str | None, list[str], list[str]]:
    """The metric, a status, models, and what is kept apart."""
    status: str | None = None
    models: list[str] = []
    by: list[str] = []
    for dimension in criterion.get("dimensions") or []:
        name, values = str(dimension.get("name")), [str(v) for v in dimension.get("values") or []]
        if dimension.get("operator") == "Exclude":
            raise ByHand(f"all but some values of {name} cannot be said")
        if name in ("ModelDeploymentName", "ModelName"):
            by = ["model"]
            models = [] if values == ["*"] else values
            if name == "ModelDeploymentName":
                draft.remark(title, name, "deployments are models here, if clients ask for them so")
        elif name == "StatusCode" and metric == "requests" and len(values) == 1:
            metric, status = (
                ("throttled", None) if values == ["429"] else ("status_count", values[0])
            )
        else:
            raise ByHand(f"the dimension {name} has no counterpart")
    return metric, status, models, by


def _report(title: str, properties: Json, draft: Draft) -> None:
    if properties.get("enabled") is False:
        draft.remark(title, "enabled", "is switched off at the source; here it is not")
    if properties.get("autoMitigate") is False:
        draft.remark(title, "autoMitigate", "never resolves at the source; here it does")
    if frequency := properties.get("evaluationFrequency"):
        draft.remark(title, "evaluationFrequency", f"{frequency}: rules have one interval for all")
    for action in properties.get("actions") or []:
        draft.remark(title, "actions", f"{action.get('actionGroupId')}: make a group of it")
    for scope in properties.get("scopes") or []:
        draft.remark(title, "scopes", f"{scope}: all gateways are watched, unless scope says else")
