"""Service level objectives of Sloth (prometheus/v1, also as a Kubernetes object) and OpenSLO.

Only objectives about what this exporter counts can be carried: the share of failed requests.
Queries over other metrics are listed, and never guessed.
"""

import re
from collections.abc import Sequence
from typing import Any

import promql_parser

from exporter.alerting.importers.draft import ByHand, Draft, Json, figure
from exporter.alerting.labels import ERROR_TYPE
from exporter.alerting.metrics import ALL_REQUESTS, LABELS

_ITS_LABELS = {label: word for word, label in LABELS.items()}
_PLURALS = {"model": "models", "provider": "providers", "operation": "operations"}
_TRUE = ("true", "yes", "on", "y")
_UNITS = {"Hour": "h", "Day": "d", "Week": "w"}
_WINDOW = re.compile(r"\[\s*(?:\{\{\s*\.window\s*\}\}|\d+[smhdw])\s*\]")


def convert(documents: Sequence[Json], draft: Draft) -> None:
    """Put the objectives of a file's documents into a draft."""
    for document in documents:
        version = str(document.get("version") or document.get("apiVersion") or "")
        if version.startswith("openslo/"):
            _open_slo(document, draft)
        elif document.get("kind") == "PrometheusServiceLevel" or version == "prometheus/v1":
            _sloth(document, draft)
        else:
            draft.remark(str(document.get("kind") or "document"), "version", "is not known")


def _sloth(document: Json, draft: Draft) -> None:
    spec = document.get("spec") or document
    service = str(spec.get("service") or "service")
    for slo in spec.get("slos") or []:
        title = f"{service} {slo.get('name')}"
        sli = slo.get("sli") or {}
        events = sli.get("events") or {}
        bad = events.get("errorQuery") or events.get("error_query")
        total = events.get("totalQuery") or events.get("total_query")
        _report_sloth(title, slo, draft)
        if not bad or not total:
            kinds = ", ".join(sli) or "nothing"
            draft.remark(title, "sli", f"{kinds} cannot be carried; by hand")
            continue
        try:
            percent = figure(slo.get("objective"), "objective")
            _add(title, percent, "30d", (str(bad), str(total)), True, draft)
        except ByHand as reason:
            draft.remark(title, "slo", f"{reason}; by hand")


def _report_sloth(title: str, slo: Json, draft: Draft) -> None:
    alerting = slo.get("alerting") or {}
    for part in ("page_alert", "pageAlert", "ticket_alert", "ticketAlert"):
        given = alerting.get(part) or {}
        if "disable" in (given.get("labels") or {}):
            draft.remark(title, f"{part}.labels", "`disable` here is a label: the alert is on")
        if str(given.get("disable")).lower() in _TRUE:
            draft.remark(title, part, "is switched off at the source; here it is not")
        if given.get("labels"):
            draft.remark(title, f"{part}.labels", "routes here go by notification groups")
    if slo.get("labels") or alerting.get("labels"):
        draft.remark(title, "labels", "not carried")


def _open_slo(document: Json, draft: Draft) -> None:
    title = str((document.get("metadata") or {}).get("name") or "slo")
    kind = str(document.get("kind"))
    spec = document.get("spec") or {}
    if kind == "AlertCondition":
        condition = spec.get("condition") or {}
        if str(condition.get("op")) in ("lte", "lt"):
            draft.remark(title, "condition.op", "fires while the burn rate is low: nonsense")
    if kind != "SLO":
        draft.remark(title, "kind", f"{kind} is not carried: burn rates are a table here")
        return
    method = str(spec.get("budgetingMethod") or "Occurrences")
    if method != "Occurrences":
        draft.remark(title, "budgetingMethod", f"{method} counts time, not requests; by hand")
        return
    try:
        window = _window(spec)
        queries, first_is_bad = _queries(spec)
    except ByHand as reason:
        draft.remark(title, "spec", f"{reason}; by hand")
        return
    for number, objective in enumerate(spec.get("objectives") or []):
        part = title if number == 0 else f"{title} {number}"
        found = queries or _ratio_queries(objective.get("ratioMetrics") or {})
        if found is None:
            draft.remark(part, "indicator", "is no ratio of queries; by hand")
            continue
        try:
            _add(part, _target(objective), window, found, first_is_bad, draft)
        except ByHand as reason:
            draft.remark(part, "slo", f"{reason}; by hand")


def _target(objective: Json) -> float:
    """The objective in percent, which is a share in `target`."""
    if "targetPercent" in objective:
        return figure(objective["targetPercent"], "targetPercent")
    return figure(objective.get("target"), "target") * 100


def _window(spec: Json) -> str:
    windows = spec.get("timeWindow") or spec.get("timeWindows")
    if not windows:
        raise ByHand("it has no window")
    window = windows[0]
    if window.get("isRolling") is False or window.get("calendar"):
        raise ByHand("a calendar's window has no counterpart")
    if "duration" in window:
        duration = str(window["duration"])
        if not re.fullmatch(r"\d+[dwh]", duration):
            raise ByHand(f"a window of {duration} has no fixed length")
        return duration
    count, unit = window.get("count"), str(window.get("unit"))
    if unit not in _UNITS or not isinstance(count, int):
        raise ByHand(f"a window of {count} {unit} has no fixed length")
    return f"{count}{_UNITS[unit]}"


def _queries(spec: Json) -> tuple[tuple[str, str] | None, bool]:
    """Queries of an indicator written in the document, and whether the first counts what is bad."""
    indicator = ((spec.get("indicator") or {}).get("spec") or {}).get("ratioMetric") or {}
    if "bad" in indicator and "total" in indicator:
        return (_query(indicator["bad"]), _query(indicator["total"])), True
    if "good" in indicator and "total" in indicator:
        return (_query(indicator["good"]), _query(indicator["total"])), False
    return None, False


def _ratio_queries(ratio: Json) -> tuple[str, str] | None:
    if "good" in ratio and "total" in ratio:
        return str(ratio["good"].get("query")), str(ratio["total"].get("query"))
    return None


def _query(part: Json) -> str:
    spec = (part.get("metricSource") or {}).get("spec") or {}
    return str(spec.get("query") or spec.get("promql") or "")


def _add(
    title: str,
    objective: float,
    window: str,
    queries: tuple[str, str],
    first_is_bad: bool,
    draft: Draft,
) -> None:
    try:
        part, whole = (_counted(query) for query in queries)
        scope = _scope(part, whole, first_is_bad)
    except ByHand as reason:
        draft.remark(title, "sli", f"{reason}; by hand: {queries[0]} / {queries[1]}")
        return
    slo: dict[str, object] = {"name": draft.name(title), "title": title}
    slo |= {"objective": f"{objective:.12g}%", "window": window, "by": []}
    if scope:
        slo["scope"] = scope
    draft.add_slo(slo)
    draft.remark(title, "alerting", "burn rates and windows are those of our table")


def _counted(query: str) -> list[promql_parser.Matcher]:
    """The conditions of `sum(rate(requests{...}[window]))`."""
    text = _WINDOW.sub("[5m]", query)
    try:
        tree: Any = promql_parser.parse(text)
    except ValueError:
        raise ByHand("a query is no PromQL") from None
    if isinstance(tree, promql_parser.AggregateExpr):
        tree = tree.expr if str(tree.op) == "sum" and not tree.modifier else tree
    if isinstance(tree, promql_parser.Call) and tree.func.name in ("rate", "increase"):
        tree = tree.args[0]
    if not isinstance(tree, promql_parser.MatrixSelector):
        raise ByHand("a query is not the sum of a rate")
    selector = tree.vector_selector
    if selector.offset or selector.at:
        raise ByHand("a query looks at another time than now")
    if selector.name != ALL_REQUESTS.series:
        raise ByHand(f"{selector.name} is not counted here")
    return list(selector.matchers.matchers)


def _scope(
    part: list[promql_parser.Matcher], whole: list[promql_parser.Matcher], first_is_bad: bool
) -> dict[str, list[str]]:
    """Whose requests; the part must be the failed, or the successful, ones of the whole."""
    operator = promql_parser.MatchOp.NotEqual if first_is_bad else promql_parser.MatchOp.Equal
    outcome = [each for each in part if each.name == ERROR_TYPE]
    rest = [str(each) for each in part if each.name != ERROR_TYPE]
    if len(outcome) != 1 or outcome[0].op != operator or outcome[0].value != "":
        raise ByHand("the part is not what failed or succeeded")
    if rest != [str(each) for each in whole]:
        raise ByHand("part and whole are not of the same requests")
    scope: dict[str, list[str]] = {}
    for matcher in whole:
        word = _ITS_LABELS.get(matcher.name)
        if word is None or matcher.op != promql_parser.MatchOp.Equal:
            raise ByHand(f"the condition on {matcher.name} has no counterpart")
        scope[_PLURALS[word]] = [matcher.value]
    return scope
