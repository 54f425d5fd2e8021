"""The mapping language: how a gateway's log line becomes a record, as data.

A mapping also says in which unit a figure is, and what marks "absent" and "no request". It is
written in YAML: by us (`exporter/formats/*.yaml`) or by a user in the configuration.
`docs/formats.md` teaches it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from exporter.documents import Finding, Section, checked
from exporter.formats.fields import Condition, Fields, Pattern, Scalar, Text
from exporter.formats.library import builtin_document, builtin_names, laid_over
from exporter.formats.paths import parse_path
from exporter.mistakes import quoted, unknown
from exporter.yaml_tree import Steps

_COMPLETE = {"fields": {"status_code": {"value": 200}}}
"""Stands for a base that does not exist, so that nothing else is missing because of that."""


class FormatSpec(Section):
    """One gateway's log format."""

    model_config = ConfigDict(json_schema_extra={"required": []})

    extends: str | None = None
    """A built-in format that this one changes: what is left out is as there; null removes."""

    description: str = ""
    """What writes such lines, and what they don't tell."""

    documentation: str = ""
    """Where the gateway documents them."""

    lines: Literal["json", "logfmt", "text"] = "json"
    """How a line is written: one JSON object, key=value pairs, or text that `pattern` reads."""

    pattern: Pattern | None = None
    """text: the whole line, with a group for each value. logfmt: what stands before the pairs."""

    flat_keys: bool = False
    """The keys of JSON have dots in them, and no path goes into an object."""

    roots: Mapping[str, tuple[str, ...]] = {}
    """Objects that stand in one place or another; a path may begin with the name given here.

    Of the places, the first where there is an object counts for all fields of a line.
    """

    embedded: tuple[str, ...] = ()
    """Paths of strings that hold JSON; other paths may go on into them."""

    absent: tuple[Scalar, ...] = ("", "-")
    """Values that mean nothing, wherever they stand."""

    request_if: tuple[Condition, ...] = ()
    """Lines that fulfil none of these are no model requests, and skipped."""

    skip_if: tuple[Condition, ...] = ()
    """Lines that fulfil one of these are no model requests, and skipped."""

    input_excludes_cache: bool = False
    """Cached tokens are not in the input figure, and to be added."""

    output_excludes_reasoning: bool = False
    """Reasoning tokens are not in the output figure, and to be added."""

    failures_have_usage: bool = True
    """Tokens in the line of a failed request were really used, and no estimate."""

    fields: Fields
    """Where the fields of a record stand."""

    attributes: Mapping[str, Text] = {}
    """Further names that `labels.attributes` may ask for."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, Mapping) and isinstance(base := data.get("extends"), str):
            if base not in builtin_names():
                finding = unknown(f"format {quoted(base)}", base, builtin_names())
                return checked(laid_over(_COMPLETE, data), handler, [(("extends",), finding)])
            data = laid_over(builtin_document(base), data)
        spec = handler(data)
        return checked(spec, handler, _incoherences(spec))

    @property
    def has_flat_paths(self) -> bool:
        """A path is one key of the line, dots and all."""
        return self.flat_keys or self.lines != "json"


def _incoherences(spec: FormatSpec) -> Iterator[Finding]:
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


def paths_of(part: object, steps: Steps, *, is_path: bool = False) -> Iterator[tuple[Steps, str]]:
    """Every path in a part of a mapping, and where it is written.

    Args:
        is_path: texts in this part are paths.
    """
    if isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from paths_of(getattr(part, name), (*steps, name), is_path=name in _PATHS)
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from paths_of(value, (*steps, str(key)), is_path=is_path)
    elif isinstance(part, tuple):
        for index, value in enumerate(part):
            yield from paths_of(value, (*steps, index), is_path=is_path)
    elif is_path and isinstance(part, str):
        yield steps, part


_PATHS = frozenset({"path", "present", "count", "embedded", "roots"})
"""Keys whose texts are paths, or which hold lists or mappings of them."""
