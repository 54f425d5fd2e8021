"""Durations and sizes as people write them: `250ms`, `1h30m`, `20GiB`. A bare number is refused."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_MILLISECONDS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BYTES = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", start=1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}


class _Quantity(ABC):
    """A number that stands in a document as text with its unit."""

    __slots__ = ()
    _pattern: ClassVar[str]
    _examples: ClassVar[Sequence[str]]

    @classmethod
    @abstractmethod
    def _parse(cls, value: object) -> Self:
        """The quantity that a document's value stands for; ValueError: it stands for none."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls._parse(value)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": cls._pattern, "examples": list(cls._examples)}


class Duration(_Quantity, float):
    """Seconds, from text such as "1h30m" or from a number; `str()` gives such a text.

    Raises:
        ValueError: the text is no duration.
    """

    __slots__ = ()
    _pattern = "^(?=.)" + "".join(f"(?:({_NUMBER}){unit})?" for unit in _MILLISECONDS) + "$"
    _examples = ("250ms", "15s", "1h30m", "14d")

    def __new__(cls, value: str | float) -> Self:
        return cls._parse(value) if isinstance(value, str) else super().__new__(cls, value)

    @classmethod
    def _parse(cls, value: object) -> Self:
        match = re.fullmatch(cls._pattern, value) if isinstance(value, str) else None
        if match is not None:
            amounts = zip(match.groups("0"), _MILLISECONDS.values(), strict=True)
            milliseconds = sum(float(amount) * factor for amount, factor in amounts)
            if math.isfinite(milliseconds):
                return cls(milliseconds / 1000)
        raise _unreadable(cls._examples, _MILLISECONDS)

    def __str__(self) -> str:
        rest = round(self * 1000, 6)
        text = ""
        for unit in ("d", "h", "m", "s"):
            count, rest = divmod(rest, _MILLISECONDS[unit])
            text += f"{count:.0f}{unit}" if count else ""
        return text + f"{rest:g}ms" if rest else text or "0s"


class Size(_Quantity, int):
    """Bytes, from text such as "20GiB" or from a number; `str()` gives such a text.

    Raises:
        ValueError: the text is no size.
    """

    __slots__ = ()
    _pattern = f"^({_NUMBER})({'|'.join(_BYTES)})$"
    _examples = ("1MiB", "20GiB", "1MB")

    def __new__(cls, value: str | int) -> Self:
        return cls._parse(value) if isinstance(value, str) else super().__new__(cls, value)

    @classmethod
    def _parse(cls, value: object) -> Self:
        match = re.fullmatch(cls._pattern, value) if isinstance(value, str) else None
        if match is not None:
            size = float(match[1]) * _BYTES[match[2]]
            if math.isfinite(size):
                return cls(round(size))
        raise _unreadable(cls._examples, _BYTES)

    def __str__(self) -> str:
        units = {unit: factor for unit, factor in _BYTES.items() if self and self % factor == 0}
        unit = max(units, key=units.__getitem__, default="B")
        return f"{self // _BYTES[unit]}{unit}"


def between(low: Duration | Size, high: Duration | Size) -> AfterValidator:
    """An annotation: only quantities from `low` to `high`, both included, are allowed."""

    def checked(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"expected {low} to {high}")
        return value

    return AfterValidator(checked)


def _unreadable(examples: Iterable[str], units: Iterable[str]) -> ValueError:
    shown = ", ".join(f'"{example}"' for example in examples)
    return ValueError(f"expected a number with its unit ({', '.join(units)}), such as {shown}")
