"""PromQL, put together from parts that quote what they hold, and checked by a parser.

An operand of an operator is always in parentheses, so that no precedence has to be known. Values
reach an expression only through `Matcher` and `number`: whatever a model is called, it stays the
value of a label.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, TypeAlias

import promql_parser

from exporter.quantities import Duration


class Promql(str):
    """An expression."""

    __slots__ = ()


class Operand(Promql):
    """An expression that needs no parentheses to be an operand."""

    __slots__ = ()


Operator: TypeAlias = Literal["=", "!=", "=~", "!~"]
Comparison: TypeAlias = Literal[">", ">=", "<", "<="]

_RE2_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label."""

    label: str
    operator: Operator
    value: str

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{quoted(self.value)}"


def quoted(text: str) -> str:
    """A string literal. JSON's escapes are among Go's, which PromQL has."""
    return json.dumps(text, ensure_ascii=False)


def number(value: Fraction | float) -> Promql:
    """A number literal, without loss."""
    return Operand(repr(float(value)).removesuffix(".0"))


def duration(seconds: float) -> str:
    """A duration literal. Prometheus knows no fractions but milliseconds."""
    return str(Duration(round(seconds, 3)))


def any_of(label: str, patterns: Sequence[str]) -> Matcher:
    """A label with one of the given values, in which * and ? stand for any characters."""
    if len(patterns) == 1 and not has_wildcard(patterns[0]):
        return Matcher(label, "=", patterns[0])
    return Matcher(label, "=~", "|".join(map(_glob, patterns)))


def has_wildcard(pattern: str) -> bool:
    """Whether a name stands for several."""
    return bool({"*", "?"} & set(pattern))


def _glob(pattern: str) -> str:
    wild = {"*": ".*", "?": "."}
    return "".join(
        wild.get(character) or _RE2_SPECIAL.sub(r"\\\g<0>", character) for character in pattern
    )


def select(
    name: str,
    matchers: Iterable[Matcher] = (),
    *,
    window_s: float = 0,
    step_s: float = 0,
    offset_s: float = 0,
) -> Promql:
    """A series by name; with a window a range of it, with a step too a subquery."""
    inside = ",".join(map(str, matchers))
    text = f"{name}{{{inside}}}" if inside else name
    if window_s:
        text += (
            f"[{duration(window_s)}:{duration(step_s)}]" if step_s else f"[{duration(window_s)}]"
        )
    return Operand(text + (f" offset {duration(offset_s)}" if offset_s else ""))


def call(function: str, *arguments: Promql) -> Promql:
    """A function of its arguments."""
    return Operand(f"{function}({', '.join(arguments)})")


def aggregate(operation: str, expression: Promql, *, by: Sequence[str] = ()) -> Promql:
    """An aggregation to the given labels, or to a single series without labels."""
    grouping = f" by ({', '.join(by)}) " if by else ""
    return Operand(f"{operation}{grouping}({expression})")


def binary(left: Promql, operator: str, right: Promql) -> Promql:
    """Two expressions and what is between them: arithmetic, a comparison, `and`, `or`, `unless`."""
    return Promql(f"{_operand(left)} {operator} {_operand(right)}")


def all_of(first: Promql, *rest: Promql) -> Promql:
    """The first expression's samples, where the others have some, too."""
    for each in rest:
        first = binary(first, "and", each)
    return first


def _operand(expression: Promql) -> str:
    return expression if isinstance(expression, Operand) else f"({expression})"


@lru_cache(maxsize=65_536)
def checked(expression: Promql) -> Promql:
    """The expression as a parser prints it, over several lines where it is long.

    Raises:
        ValueError: it is no PromQL, which is a mistake in this program.
    """
    tree = promql_parser.parse(expression)
    return Promql(tree.prettify())


_COMPARISONS: dict[str, Comparison] = {
    "above": ">",
    "at_least": ">=",
    "below": "<",
    "at_most": "<=",
}


def comparison(word: str) -> Comparison:
    """The operator of a comparison in words."""
    return _COMPARISONS[word]
