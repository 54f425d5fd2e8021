"""Whether the parts of a mapping go together."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from exporter.documents import Finding
from exporter.formats.paths import parse_path
from exporter.mistakes import quoted, unknown
from exporter.yaml_tree import Steps

if TYPE_CHECKING:
    from exporter.formats.spec import FormatSpec


def incoherences(spec: "FormatSpec") -> Iterator[Finding]:
    """Where parts of a mapping do not go together."""
    if spec.lines == "text" and spec.pattern is None:
        yield (), "lines: text needs a pattern with named groups"
    if spec.lines == "json" and spec.pattern is not None:
        yield ("pattern",), "JSON lines have no pattern; did you mean lines: text?"
    if spec.has_flat_paths and (spec.roots or spec.embedded):
        yield (), "roots and embedded go into objects, and these lines have none"
    groups = None
    if spec.lines == "text" and spec.pattern is not None:
        groups = re.compile(spec.pattern).groupindex
    for steps, path in paths_of(spec, ()):
        if groups is not None and path not in groups:
            yield steps, unknown(f"group {quoted(path)} of the pattern", path, groups)
        elif not spec.has_flat_paths:
            try:
                parse_path(path)
            except ValueError as error:
                yield steps, str(error)


def paths_of(part: object, steps: Steps) -> Iterator[tuple[Steps, str]]:
    """Every path in a part of a mapping, and where it is written."""
    if isinstance(part, BaseModel):
        for name in type(part).model_fields:
            value = getattr(part, name)
            if isinstance(value, str) and name in ("path", "present", "count"):
                yield (*steps, name), value
            elif name in ("embedded", "roots"):
                yield from _texts(value, (*steps, name))
            else:
                yield from paths_of(value, (*steps, name))
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from paths_of(value, (*steps, str(key)))
    elif isinstance(part, tuple):
        for index, value in enumerate(part):
            yield from paths_of(value, (*steps, index))


def _texts(part: object, steps: Steps) -> Iterator[tuple[Steps, str]]:
    if isinstance(part, str):
        yield steps, part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from _texts(value, (*steps, str(key)))
    elif isinstance(part, tuple):
        for index, value in enumerate(part):
            yield from _texts(value, (*steps, index))
