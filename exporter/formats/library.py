"""The formats that come with the program, as the YAML that people read and extend."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from exporter.yaml_tree import parse


@cache
def builtin_names() -> tuple[str, ...]:
    """Names of the built-in formats, sorted."""
    files = [file.name for file in resources.files(__package__).iterdir()]
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def builtin_text(name: str) -> str:
    """The YAML of a built-in format.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in builtin_names():
        raise KeyError(name)
    return (resources.files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")


def builtin_document(name: str) -> dict[str, object]:
    """A built-in format as plain values, with what it extends.

    Raises:
        KeyError: there is none of this name.
    """
    document = parse(builtin_text(name)).value
    base = document.get("extends")
    return laid_over(builtin_document(base), document) if isinstance(base, str) else document


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes: key by key, in three sections field by field; null removes."""
    merged = {**base, **changes}
    for section in ("fields", "attributes", "roots"):
        ours, theirs = changes.get(section, {}), base.get(section, {})
        if isinstance(ours, Mapping):
            both = {**theirs, **ours}
            merged[section] = {name: field for name, field in both.items() if field is not None}
    return merged
