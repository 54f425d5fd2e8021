"""Thresholds as people write them: `5%`, `10s`, `1000`; each belongs to a unit of value."""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from exporter.alerting.metrics import Unit
from exporter.quantities import Duration

_PERCENT = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,15})?)\s*%")
_MOST = 10**15
"""Beyond it a float, as Prometheus compares, cannot tell a number from the next."""

_EXAMPLES: dict[str, str] = {
    "percent": 'a percentage such as "5%"',
    "seconds": 'a duration such as "10s"',
    "number": "a number",
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number to compare with.

    Attributes:
        value: exact; a percentage as its share, a duration in seconds.
        form: "percent", "seconds" or "number".
        text: as it was written.
    """

    value: Fraction
    form: str
    text: str

    @classmethod
    def parse(cls, value: object) -> Self:
        """A threshold from a document's value.

        Raises:
            ValueError: it is none.
        """
        match value:
            case Threshold():
                return cls(value.value, value.form, value.text)
            case int() | float() if not isinstance(value, bool) and abs(value) <= _MOST:
                return cls(Fraction(Decimal(str(value))), "number", f"{value:g}")
            case str() if percent := _PERCENT.fullmatch(value):
                return cls(Fraction(Decimal(percent[1])) / 100, "percent", f"{percent[1]}%")
            case str():
                try:
                    seconds = Duration(value)
                except ValueError:
                    pass
                else:
                    return cls(Fraction(Decimal(str(float(seconds)))), "seconds", text_of(seconds))
        raise ValueError('expected a number, a percentage such as "5%" or a duration such as "10s"')

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["number", "string"], "examples": ["5%", "10s", 1000]}


def text_of(seconds: Duration) -> str:
    """A duration as a person says it: 10.24s, 1h30m."""
    return f"{seconds:g}s" if 1 <= seconds < 60 else str(seconds)


def form_of(unit: Unit) -> str:
    """How thresholds of a unit are written."""
    return {Unit.SHARE: "percent", Unit.SECONDS: "seconds"}.get(unit, "number")


def wrong_form(threshold: Threshold, form: str, what: str) -> str | None:
    """What is wrong with a threshold that should have another form."""
    if threshold.form == form:
        return None
    return f"expected {_EXAMPLES[form]} for {what}; found {threshold.text}"
