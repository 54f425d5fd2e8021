"""Alibaba CloudMonitor 2.0: PromQL over the platform's `model_*` metrics.

Fields and words follow the CMS API 2024-03-30 and the platform's page on model telemetry. A data
point is a minute's; the unit of durations is documented nowhere, so the user must say it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import promql_parser

from exporter.alerting.importers.draft import (
    SEVERITIES,
    ByHand,
    Draft,
    Json,
    always,
    figure,
    objects,
    seconds,
    threshold,
)
from exporter.alerting.metrics import METRICS, Unit
from exporter.alerting.notifications import DAYS

_OPERATORS: Mapping[str, str] = {
    ">": "above",
    "GT": "above",
    "GREATERTHANTHRESHOLD": "above",
    ">=": "at_least",
    "GE": "at_least",
    "GTE": "at_least",
    "<": "below",
    "LT": "below",
    "LESSTHANTHRESHOLD": "below",
    "<=": "at_most",
    "LE": "at_most",
    "LTE": "at_most",
}
_DURATIONS = {
    "model_call_duration": "latency",
    "model_first_token_duration": "ttft",
    "model_generation_duration_per_token": "time_per_output_token",
}
_SUFFIXES = {"": "average", "_p50": "p50", "_p99": "p99"}
_METRICS: Mapping[str, str] = {
    f"{name}{suffix}": f"{word}_{rank}"
    for name, word in _DURATIONS.items()
    for suffix, rank in _SUFFIXES.items()
}
_USAGE = ("total_tokens", "input_tokens", "output_tokens")
"""Types of usage that are metrics of ours by the same name."""

_WORDS = {"model": "model", "workspace_id": "workspace"}
_OVER_TIME = ("sum_over_time", "avg_over_time")
_MINUTE_S = 60


@dataclass
class _Meaning:
    """What an expression says, in the words of definitions.

    Attributes:
        factor: of its numbers to percent or seconds.
        of_series: it is compared series by series, without an aggregation.
    """

    metric: str
    status: str | None = None
    scope: dict[str, list[str]] = field(default_factory=dict)
    by: list[str] = field(default_factory=list)
    period_s: float = _MINUTE_S
    factor: float = 1
    of_series: bool = False


def convert(document: object, draft: Draft, duration_unit: str | None, timezone: str) -> None:
    """Put the rules of a document into a draft."""
    for rule in objects(document, "data", "alertRules"):
        title = str(rule.get("displayName") or rule.get("uuid") or "rule")
        if rule.get("enabled") is False:
            draft.remark(title, "enabled", "is switched off at the source; left out")
            continue
        query = rule.get("queryConfig") or {}
        expression = str(query.get("expr") or query.get("promQl") or "")
        kind = str(query.get("type") or "")
        if not kind.startswith("PROMETHEUS") or not expression:
            draft.remark(title, "queryConfig", f"{kind or 'without type'} is no PromQL; by hand")
            continue
        try:
            _convert_rule(title, rule, expression, draft, duration_unit, timezone)
        except ByHand as reason:
            draft.remark(title, "expr", f"{reason}; by hand: {expression}")


def _convert_rule(
    title: str, rule: Json, expression: str, draft: Draft, duration_unit: str | None, timezone: str
) -> None:
    try:
        tree = promql_parser.parse(expression)
    except ValueError as error:
        raise ByHand(f"is no PromQL ({error})") from None
    condition = rule.get("conditionConfig") or {}
    value, compare, limit = _comparison(_bare(tree), condition)
    meaning = _meaning(value)
    unit = METRICS[meaning.metric].unit
    if unit is Unit.SECONDS:
        if duration_unit is None:
            raise ByHand("the unit of durations is not documented; say it with --duration-unit")
        meaning.factor = 0.001 if duration_unit == "ms" else 1
    held_s = figure(condition.get("durationSecs") or condition.get("duration") or 0, "durationSecs")
    severity = SEVERITIES.get(str(condition.get("severity") or "").lower())
    if severity is None:
        draft.remark(title, "severity", f"{condition.get('severity')!r} is unknown; now warning")
    alert: dict[str, object] = {"name": draft.name(title), "title": title, "metric": meaning.metric}
    if meaning.status:
        alert["status"] = meaning.status
    if scope := _scope(meaning):
        alert["scope"] = scope
    alert["by"] = meaning.by
    alert |= {"period": seconds(meaning.period_s), "compare": compare}
    if held_s >= meaning.period_s:
        alert["periods"] = 1 + round(held_s / meaning.period_s)
    elif held_s:
        draft.remark(title, "durationSecs", f"{held_s:g}: shorter than the window; not carried")
    if meaning.of_series:
        draft.remark(title, "expr", "compares each series; here those of a model are one value")
    limit_text = threshold(meaning.metric, limit, factor=meaning.factor)
    alert["severities"] = {severity or "warning": limit_text}
    _carry_notification(title, rule.get("notifyConfig") or {}, alert, draft, timezone)
    if "workspace" in (*meaning.by, *meaning.scope):
        draft.remark(title, "workspace_id", "workspace must be among the exporter's attributes")
    for part in ("labels", "annotations", "contentTemplate", "message"):
        if rule.get(part):
            draft.remark(title, part, "not carried; summaries are made from the definition")
    draft.add_alert(alert)


def _bare(tree: promql_parser.Expr) -> promql_parser.Expr:
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    return tree


def _comparison(tree: promql_parser.Expr, condition: Json) -> tuple[promql_parser.Expr, str, float]:
    """The value, the comparison and the threshold: in the expression, or beside it."""
    if isinstance(tree, promql_parser.BinaryExpr) and str(tree.op) in (">", ">=", "<", "<="):
        limit = _bare(tree.rhs)
        if not isinstance(limit, promql_parser.NumberLiteral):
            raise ByHand("it compares with something else than a number")
        return _bare(tree.lhs), _OPERATORS[str(tree.op)], limit.val
    operator = str(condition.get("operator") or "").upper()
    if operator.startswith("YOY"):
        raise ByHand("it compares with an earlier time")
    if operator not in _OPERATORS or condition.get("threshold") is None:
        raise ByHand("it has no threshold, and neither has its condition")
    return tree, _OPERATORS[operator], figure(condition["threshold"], "the threshold")


def _meaning(tree: promql_parser.Expr) -> _Meaning:
    if isinstance(tree, promql_parser.BinaryExpr):
        return _meaning_of_ratio(tree)
    return _meaning_of_amount(tree)


def _meaning_of_ratio(tree: promql_parser.BinaryExpr) -> _Meaning:
    """A part of the calls divided by all of them, perhaps times 100."""
    factor = 100.0
    if str(tree.op) == "*":
        hundred, inner = _bare(tree.rhs), _bare(tree.lhs)
        if isinstance(inner, promql_parser.NumberLiteral):
            hundred, inner = inner, hundred
        if not (
            isinstance(hundred, promql_parser.NumberLiteral)
            and hundred.val == 100
            and isinstance(inner, promql_parser.BinaryExpr)
        ):
            raise ByHand("it is no share of calls")
        tree, factor = inner, 1.0
    part, whole = _bare(tree.lhs), _bare(tree.rhs)
    if isinstance(part, promql_parser.BinaryExpr) and str(part.op) == "*":  # 100 * a / b
        number, rest = _bare(part.lhs), _bare(part.rhs)
        if isinstance(rest, promql_parser.NumberLiteral):
            number, rest = rest, number
        if isinstance(number, promql_parser.NumberLiteral) and number.val == 100:
            part, factor = rest, 1.0
    if str(tree.op) != "/":
        raise ByHand("it is no share of calls")
    above, below = _meaning_of_amount(part), _meaning_of_amount(whole)
    shares = {
        "failures": "error_rate",
        "status_count": "status_rate",
        "throttled": "throttled_rate",
    }
    if (
        below.metric != "requests"
        or above.metric not in shares
        or (above.scope, above.by, above.period_s) != (below.scope, below.by, below.period_s)
    ):
        raise ByHand("it is no share of calls")
    above.metric, above.factor = shares[above.metric], factor
    return above


def _meaning_of_amount(tree: promql_parser.Expr) -> _Meaning:
    by: list[str] = []
    aggregated = None
    if isinstance(tree, promql_parser.AggregateExpr):
        aggregated = str(tree.op)
        if tree.modifier and tree.modifier.type != promql_parser.AggModifierType.By:
            raise ByHand("it aggregates without labels, not by them")
        by = [_word(label) for label in (tree.modifier.labels if tree.modifier else [])]
        tree = _bare(tree.expr)
    period_s: float = _MINUTE_S
    over_time = ""
    if isinstance(tree, promql_parser.Call) and tree.func.name in _OVER_TIME:
        over_time, tree = tree.func.name, tree.args[0]
    if isinstance(tree, promql_parser.MatrixSelector):
        period_s = tree.range.total_seconds()
        tree = tree.vector_selector
    if not isinstance(tree, promql_parser.VectorSelector) or tree.name is None:
        raise ByHand("it is more than an aggregation of a metric")
    if tree.offset or tree.at:
        raise ByHand("it looks at another time than now")
    meaning = _of_selector(tree)
    meaning.by, meaning.period_s = by, period_s
    summed = METRICS[meaning.metric].unit in (Unit.REQUESTS, Unit.TOKENS)
    if over_time not in ("", "sum_over_time" if summed else "avg_over_time"):
        raise ByHand(f"{over_time} of {tree.name} has no counterpart")
    if aggregated is None:
        meaning.by, meaning.of_series = ["model", "workspace"], True
    elif aggregated not in (("sum",) if summed else ("avg", "max")):
        raise ByHand(f"a {aggregated} of {tree.name} has no counterpart")
    return meaning


def _of_selector(tree: promql_parser.VectorSelector) -> _Meaning:
    name = tree.name or ""
    scope: dict[str, list[str]] = {}
    meaning = _Meaning("requests" if name == "model_call_count" else _METRICS.get(name, ""))
    for matcher in tree.matchers.matchers:
        equal = matcher.op == promql_parser.MatchOp.Equal
        if matcher.name in _WORDS and (equal or _is_list(matcher)):
            scope[_WORDS[matcher.name]] = [matcher.value] if equal else matcher.value.split("|")
        elif matcher.name == "usage_type" and name == "model_usage" and equal:
            meaning.metric = matcher.value if matcher.value in _USAGE else ""
        elif matcher.name == "status_code" and name == "model_call_count":
            meaning.metric, meaning.status = _status(matcher)
        else:
            raise ByHand(f"the condition on {matcher.name} has no counterpart")
    if not meaning.metric:
        raise ByHand(f"{name} has no counterpart here")
    meaning.scope = scope
    return meaning


def _is_list(matcher: promql_parser.Matcher) -> bool:
    """Whether a regular expression is a list of names."""
    plain = matcher.value.replace("|", "").replace("-", "").replace("_", "")
    return matcher.op == promql_parser.MatchOp.Re and plain.isalnum()


def _status(matcher: promql_parser.Matcher) -> tuple[str, str | None]:
    if matcher.op == promql_parser.MatchOp.NotEqual and matcher.value == "200":
        return "failures", None
    if matcher.op == promql_parser.MatchOp.Equal and matcher.value == "429":
        return "throttled", None
    if matcher.op == promql_parser.MatchOp.Equal and matcher.value.isdigit():
        return "status_count", matcher.value
    first, rest = matcher.value[:1], matcher.value[1:]
    if matcher.op == promql_parser.MatchOp.Re and first in "12345" and rest in ("..", r"\d\d"):
        return "status_count", f"{first}xx"
    raise ByHand(f"the condition on status_code ({matcher.value}) has no counterpart")


def _word(label: str) -> str:
    if label not in _WORDS:
        raise ByHand(f"it is kept apart by {label}, which has no counterpart")
    return _WORDS[label]


def _scope(meaning: _Meaning) -> dict[str, object]:
    scope: dict[str, object] = {}
    if "model" in meaning.scope:
        scope["models"] = meaning.scope["model"]
    if "workspace" in meaning.scope:
        scope["attributes"] = {"workspace": meaning.scope["workspace"]}
    return scope


def _carry_notification(
    title: str, notify: Json, alert: dict[str, object], draft: Draft, timezone: str
) -> None:
    if repeat_s := figure(notify.get("silenceTimeSecs") or 0, "silenceTimeSecs"):
        alert["repeat"] = seconds(max(repeat_s, 60))
    for channel in notify.get("channels") or []:
        found = f"{channel.get('type')} {', '.join(map(str, channel.get('identifiers') or []))}"
        draft.remark(title, "channels", f"{found}: make a notification group of it")
    days = tuple(DAYS[int(day) - 1] for day in notify.get("activeDays") or range(1, 8))
    start = str(notify.get("activeStartTime") or "00:00")
    end = str(notify.get("activeEndTime") or "24:00")
    if always(days, start, end):
        return
    offset = notify.get("utcOffset")
    zone = _zone(str(offset)) if offset else timezone
    if zone is None:
        draft.remark(title, "utcOffset", f"{offset}: name its time zone yourself")
        return
    if not offset:
        draft.remark(title, "activeStartTime", f"has no time zone at the source; {timezone} here")
    hours = {"timezone": zone, "days": list(days), "times": [{"start": start, "end": end}]}
    alert["hours"] = draft.hours_of(hours)


def _zone(offset: str) -> str | None:
    """A zone without daylight saving; the names under Etc have the sign the other way round."""
    match = re.fullmatch(r"([+-])(\d{1,2})(?::?00)?", offset)
    if match is None or int(match[2]) > 14:
        return None
    hours = int(match[2])
    return f"Etc/GMT{'-' if match[1] == '+' else '+'}{hours}" if hours else "UTC"
