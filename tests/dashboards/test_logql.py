"""The queries to Loki, read by Grafana's own parser of LogQL."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboards.built import opened
from tests.debian import program

PARSER = Path(__file__).with_name("logql")


def mistakes(*queries: str) -> list[list[str]]:
    """Where each of the queries is no LogQL."""
    if not (PARSER / "node_modules").exists():
        pytest.fail("The parser of LogQL is not there: scripts/install-tools", pytrace=False)
    command = [program("node"), PARSER / "mistakes.mjs"]
    done = subprocess.run(
        command, input=json.dumps(queries), check=True, capture_output=True, text=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found


def queries(**picks: str) -> Iterator[str]:
    """Those of the shipped dashboard, with variables filled in."""
    dashboard = opened("logs", **picks)
    for panel in dashboard.panels():
        for target in panel.get("targets", ()):
            yield dashboard.fill(target["expr"], step_s=60)


def test_the_parser_finds_what_is_no_logql() -> None:
    assert mistakes('{a="b"} | c=~`d`', '{a="b"', 'count_over_time({a="b"} 1m)') == [
        [],
        ["at 6: "],
        ["at 24: 1m)"],
    ]


def test_target_logql_rule() -> None:
    asked = list(queries())
    assert len(asked) == 3
    assert mistakes(*asked) == [[], [], []]


def test_a_pattern_is_taken_as_it_is_typed() -> None:
    """In quotes Loki would refuse the backslash of a pattern, and end at a quote."""
    picks = {"pattern_gen_ai_request_model": r'qwen3\.5-.*|"odd"', "request": "chatcmpl-1"}
    for asked in queries(**picks):
        assert r'gen_ai_request_model=~`qwen3\.5-.*|"odd"`' in asked
        assert "llm_gateway_request_id=~`.*chatcmpl-1.*`" in asked
        assert mistakes(asked) == [[]]


def test_target_logql_auto_rule() -> None:
    dashboard = opened("logs")
    (target,) = dashboard.panel("Requests by status code")["targets"]
    assert "[$__auto]" in target["expr"]
