"""What a runbook tells somebody to query or to run exists: it is read at night, in a hurry."""

import re
import shlex
from collections.abc import Iterator
from itertools import chain

import click
import pytest

from exporter.cli import main
from tests.dashboards.promql import labels, reads
from tests.dashboards.test_vocabulary import KNOWN, KNOWN_LABELS
from tests.test_docs import DOCS

PROGRAM = "llm-gateway-exporter "
NAME = re.compile(r"\b(llm_gateway|gen_ai)_|\bup\b|\(")
MATCHER = re.compile(r'\w+(=~|!~|!=|=)"[^"]*"')


def code() -> Iterator[str]:
    """Everything in the runbooks that is set as code, fenced or in a line."""
    for page in sorted((DOCS / "runbooks").glob("*.md")):
        fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
        lines = chain.from_iterable(text.splitlines() for text in fenced)
        yield from (line.strip() for line in lines)
        yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text())


CODE = sorted(set(code()))
COMMANDS = [text for text in CODE if text.startswith(PROGRAM)]
EXPRESSIONS = [text for text in CODE if text not in COMMANDS and NAME.search(text)]


def test_there_is_something_to_look_at() -> None:
    assert COMMANDS
    assert len(EXPRESSIONS) > 5


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_of_a_runbook_is_promql_over_series_that_there_are(text: str) -> None:
    expression = f"{{{text}}}" if MATCHER.fullmatch(text) else text
    selected = list(reads(expression))
    assert {read.name for read in selected} <= KNOWN | {""}
    assert labels(expression).union(*(read.labels for read in selected)) <= KNOWN_LABELS


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_of_a_runbook_is_one_that_there_is_with_these_options(text: str) -> None:
    command: click.Command = main
    _, *words = shlex.split(text)
    context = click.Context(command)
    while isinstance(command, click.Group):
        assert words, f"a command of {command.name} is missing"
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command, context = found, click.Context(found, parent=context)
    given, left, _ = command.make_parser(context).parse_args(words)
    assert not left
    required = {each.name for each in command.params if each.required}
    assert required <= {name for name, value in given.items() if isinstance(value, str)}
