"""What an expression reads: its selectors, and the functions that they stand in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as parser


@dataclass(frozen=True, slots=True)
class Read:
    """A selector in an expression.

    Attributes:
        function: that takes its range, "" if none does.
        window: of the range in seconds, 0 for an instant.
    """

    name: str
    labels: frozenset[str]
    function: str
    window: float


def reads(expression: str) -> Iterator[Read]:
    """Every selector.

    Raises:
        ValueError: it is no PromQL.
    """
    yield from _reads(parser.parse(expression), "")


def labels(expression: str) -> set[str]:
    """Every label that something is grouped or matched by."""
    return set(_labels(parser.parse(expression)))


def _reads(node: Any, function: str) -> Iterator[Read]:
    match node:
        case parser.VectorSelector():
            yield Read(node.name or "", _names(node), function, 0)
        case parser.MatrixSelector():
            selector = node.vector_selector
            yield Read(selector.name or "", _names(selector), function, node.range.total_seconds())
        case parser.Call():
            for argument in node.args:
                yield from _reads(argument, node.func.name)
        case _:
            for inner in _inner(node):
                yield from _reads(inner, function)


def _names(selector: Any) -> frozenset[str]:
    return frozenset(matcher.name for matcher in selector.matchers.matchers)


def _inner(node: Any) -> Iterator[Any]:
    for name in ("lhs", "rhs", "expr", "param"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield inner


def _labels(node: Any) -> Iterator[str]:
    modifier = getattr(node, "modifier", None)
    if isinstance(node, parser.AggregateExpr) and modifier is not None:
        yield from modifier.labels
    elif isinstance(node, parser.BinaryExpr) and modifier and modifier.matching:
        yield from modifier.matching.labels
    inner = node.args if isinstance(node, parser.Call) else _inner(node)
    for each in inner:
        yield from _labels(each)
