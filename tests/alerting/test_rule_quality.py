"""The checks of pint, a linter of rules, by their names: those that need no server."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser
import pytest
import yaml

from exporter.alerting.definitions import load_definitions
from exporter.alerting.outputs import files_of
from tests.alerting.rulefiles import ROOT

Rule = Mapping[str, Any]
COMPARISONS = (">", "<", ">=", "<=", "==", "!=")
COUNTERS = re.compile(r"(_total|_count|_sum|_bucket)$")


def rules() -> Iterator[tuple[str, Rule]]:
    """Each rule that is shipped or made of the example, with its group."""
    for name in ("alerts.yaml", "alerts.example.yaml"):
        for path, text in files_of(load_definitions(ROOT / "rules" / name)).items():
            if path.startswith("prometheus/"):
                for group in yaml.safe_load(text)["groups"]:
                    for rule in group["rules"]:
                        yield f"{name} {group['name']}", rule


RULES = list(rules())
ALERTS = [rule for _, rule in RULES if "alert" in rule]


def nodes(expression: str, kind: type) -> list[Any]:
    """All parts of an expression that are of a kind."""
    found: list[Any] = []

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, kind):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), look)
    return found


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    return nodes(expression, promql_parser.VectorSelector)


def branches(tree: Any) -> Iterator[Any]:
    """The operands of `or`, each of which can make an alert fire."""
    if isinstance(tree, promql_parser.ParenExpr):
        yield from branches(tree.expr)
    elif isinstance(tree, promql_parser.BinaryExpr) and str(tree.op) in ("or", "and"):
        yield from branches(tree.lhs)
        if str(tree.op) == "or":
            yield from branches(tree.rhs)
    else:
        yield tree


@pytest.mark.parametrize(
    "rule", ALERTS, ids=[f"{number}-{rule['alert']}" for number, rule in enumerate(ALERTS)]
)
class TestAlerts:
    def test_alerts_annotation(self, rule: Rule) -> None:
        assert {"summary", "description", "runbook_url"} <= set(rule["annotations"])

    def test_alerts_comparison(self, rule: Rule) -> None:
        for branch in branches(promql_parser.parse(rule["expr"])):
            compares = (
                isinstance(branch, promql_parser.BinaryExpr) and str(branch.op) in COMPARISONS
            )
            is_absent = (
                isinstance(branch, promql_parser.Call) and branch.func.name == "absent_over_time"
            )
            assert compares or is_absent, branch

    def test_alerts_absent(self, rule: Rule) -> None:
        if "absent_over_time(" in rule["expr"]:
            assert rule["for"] == "5m"

    def test_alerts_for(self, rule: Rule) -> None:
        assert rule.get("for") != "0s"
        assert rule.get("keep_firing_for") != "0s"

    def test_alerts_template(self, rule: Rule) -> None:
        assert not any("{{" in value for value in rule["labels"].values())
        kept = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert kept <= {
            *("gen_ai_request_model", "gen_ai_provider_name", "workspace", "job", "instance"),
            *("source", "destination", "signal"),
        }

    def test_promql_fragile(self, rule: Rule) -> None:
        assert nodes(rule["expr"], promql_parser.AggregateExpr) == []

    def test_query_cost(self, rule: Rule) -> None:
        assert all(":" in str(selector.name) for selector in selectors(rule["expr"])), (
            "an alert compares records"
        )


def test_group_interval() -> None:
    for name in ("alerts.yaml", "alerts.example.yaml"):
        assert load_definitions(ROOT / "rules" / name).interval <= 300


def test_promql_syntax_and_features() -> None:
    for _, rule in RULES:
        assert not nodes(rule["expr"], promql_parser.AtModifier)
        for call in nodes(rule["expr"], promql_parser.Call):
            assert not call.func.experimental


def test_promql_nan() -> None:
    """Nothing is divided by what may be zero."""
    for _, rule in RULES:
        for node in nodes(rule["expr"], promql_parser.BinaryExpr):
            if str(node.op) == "/":
                divisor = node.rhs
                while isinstance(divisor, promql_parser.ParenExpr):
                    divisor = divisor.expr
                positive = isinstance(divisor, promql_parser.BinaryExpr) and str(divisor.op) == ">"
                assert positive or isinstance(divisor, promql_parser.NumberLiteral), rule


def test_promql_regexp() -> None:
    for _, rule in RULES:
        for selector in selectors(rule["expr"]):
            for matcher in selector.matchers.matchers:
                if matcher.op == promql_parser.MatchOp.Re:
                    assert re.search(r"[|.*?]", matcher.value), "= is enough"
                    assert not matcher.value.startswith("^")
                    assert not matcher.value.endswith("$")


def test_promql_rate() -> None:
    """No rate of a record, and none of what is no counter: there is no rate at all."""
    assert not any("rate(" in rule["expr"] or "increase(" in rule["expr"] for _, rule in RULES)


def test_promql_counter() -> None:
    """Counters are looked at by their growth over an interval, which is recorded."""
    for _, rule in RULES:
        for selector in selectors(rule["expr"]):
            if ":" not in str(selector.name) and COUNTERS.search(str(selector.name)):
                assert ":delta" in rule["record"]


def test_every_record_is_read() -> None:
    """By another rule, or by the dashboard of objectives."""
    read = {selector.name for _, rule in RULES for selector in selectors(rule["expr"])}
    recorded = {rule["record"] for _, rule in RULES if "record" in rule}
    assert {name for name in recorded - read if not name.startswith("slo:")} == set()


def test_promql_offset_and_range_query() -> None:
    """Nothing looks back beyond Prometheus's usual 15 days."""
    for _, rule in RULES:
        for selector in selectors(rule["expr"]):
            offset = selector.offset
            assert offset is None or offset.total_seconds() < 15 * 86_400


def test_promql_series_and_rule_dependency() -> None:
    """Each record that is read is made before, in the same group.

    What is left of budgets rests on other groups' growth: it adds up all samples of a step, so that
    none is missed however much later it looks.
    """
    made: dict[str, set[str]] = {}
    for group, rule in sorted(RULES, key=lambda each: "budgets" in each[0]):
        known = made.setdefault(group, set())
        if "budgets" in group and "[4m59s999ms]" in rule["expr"]:
            known = known.union(*made.values())
        for selector in selectors(rule["expr"]):
            if ":" in str(selector.name):
                assert selector.name in known, f"{selector.name} in {group}"
        if "record" in rule:
            made[group].add(rule["record"])


def test_rule_duplicate() -> None:
    for name in ("alerts.yaml", "alerts.example.yaml"):
        labelled = Counter(
            (rule.get("record") or rule["alert"], str(sorted(rule.get("labels", {}).items())))
            for group, rule in RULES
            if group.startswith(f"{name} ")
        )
        assert [key for key, times in labelled.items() if times > 1] == []


def test_rule_name() -> None:
    for _, rule in RULES:
        if "record" in rule:
            assert re.fullmatch(r"[a-z_0-9]+:[A-Za-z_0-9]+:[a-z_0-9]+", rule["record"])


def test_rule_label() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "error", "warning", "info")
        assert rule["labels"]["alert_id"]
