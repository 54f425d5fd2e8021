"""Formats: how the lines of a gateway's log become records, as data."""

from collections.abc import Mapping
from functools import cache

from exporter.formats.library import builtin_document, builtin_names, builtin_text
from exporter.formats.spec import FormatSpec

__all__ = ["builtin", "builtin_names", "builtin_text", "resolve"]


@cache
def builtin(name: str) -> FormatSpec:
    """A built-in format.

    Raises:
        KeyError: there is none of this name.
    """
    return FormatSpec.model_validate(builtin_document(name))


def resolve(name: str, configured: Mapping[str, FormatSpec]) -> FormatSpec:
    """The format that a source names: a configured one, else a built-in one.

    Raises:
        KeyError: there is none of this name.
    """
    return configured[name] if name in configured else builtin(name)
