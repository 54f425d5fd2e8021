"""A name that a person or client chose stays the value of a label, whatever it holds."""

import re

import promql_parser
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerting import promql as q
from tests.alerting.rulefiles import all_rules, one_alert

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(NAMES)
def test_any_name_comes_out_of_the_parser_as_it_went_in(name: str) -> None:
    tree = promql_parser.parse(q.select("x", [q.Matcher("model", "=", name)]))
    assert isinstance(tree, promql_parser.VectorSelector)
    assert [matcher.value for matcher in tree.matchers.matchers] == [name]


@given(NAMES.filter(lambda name: not {"*", "?"} & set(name)))
def test_a_list_of_names_matches_these_names_and_no_others(name: str) -> None:
    pattern = q.any_of("model", [name, "other"]).value
    assert re.fullmatch(pattern, name, re.DOTALL)
    assert not re.fullmatch(pattern, f"{name}x", re.DOTALL)


def test_stars_and_question_marks_stand_for_characters() -> None:
    assert str(q.any_of("model", ["gpt-4.?-*"])) == 'model=~"gpt-4\\\\..-.*"'


def test_a_name_that_looks_like_promql_selects_itself() -> None:
    name = '"} or vector(1) #\\'
    (alert,) = (rule for rule in all_rules(one_alert(scope={"models": [name]})) if "alert" in rule)
    selected: list[str] = []

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            selected.extend(matcher.value for matcher in node.matchers.matchers)

    promql_parser.walk(promql_parser.parse(alert["expr"]), look)
    assert selected == [name, name]


@given(st.floats(0, 1e15, allow_nan=False))
def test_numbers_lose_nothing(value: float) -> None:
    assert float(q.number(value)) == value
