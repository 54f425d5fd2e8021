"""What pydantic found wrong with a document, in the words of someone who edits a file.

Pydantic says where it was in its own schema; a person needs the place in the document, the keys and
values that are allowed there, and the nearest to what was written. Secrets are never shown.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from exporter.yaml_tree import Steps

FINDING = "finding"
"""Pydantic's type of those errors whose whole text is ours, in the context's `text`."""

_SHOWN = 60
"""Characters of a wrong value that an error shows."""

_SECRET_NAME = re.compile(
    r"(.*_)?(password|passwd|secret|api_?key|private_key|credentials?|authorization)"
    r"|((access|auth|bearer|refresh)_)?token",
    re.IGNORECASE,
)

_EXPECTED = {
    "string_type": "expected text",
    "path_type": "expected a path",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_parsing_size": "expected a smaller number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "set_type": "expected a list",
    "frozen_set_type": "expected a list",
    "dict_type": "expected a mapping (key: value)",
    "mapping_type": "expected a mapping (key: value)",
    "model_type": "expected a mapping (key: value)",
    "model_attributes_type": "expected a mapping (key: value)",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "too_short": "expected a list of at least {min_length}",
    "too_long": "expected a list of at most {max_length}",
    "string_too_short": "expected text of at least {min_length} characters",
    "string_too_long": "expected text of at most {max_length} characters",
    "string_pattern_mismatch": "expected text that matches {pattern}",
}


class Confidential:
    """Base of the types whose values no error may show; pydantic's SecretStr is treated alike."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a document.

    Attributes:
        steps: where; the last may be a key that is missing.
        message: what was found and what is allowed.
        value: what stands there.
        missing: nothing stands there, though something must.
        meant: the right name for a misspelt key.
    """

    steps: Steps
    message: str
    value: object = None
    missing: bool = False
    meant: str | None = None


def mistakes(error: ValidationError, model: type[BaseModel], document: object) -> list[Mistake]:
    """The mistakes that `error` tells of, without those that only follow from another one."""
    found: list[Mistake] = []
    unions: dict[Steps, dict[str, list[_Error]]] = {}
    for details in error.errors(include_url=False):
        place = _place(details, model, document)
        if _is_refused_inside(details):
            continue
        if details["type"].startswith("union_tag"):
            details, place = _at_discriminator(details, place)
        if place.union is None:
            found.append(_mistake(details, place))
        else:
            steps, member = place.union
            unions.setdefault(steps, {}).setdefault(member, []).append((details, place))
    for steps, members in unions.items():
        found.extend(_of_union(steps, list(members.values())))
    meant = {(*mistake.steps[:-1], mistake.meant) for mistake in found if mistake.meant}
    return [each for each in found if not (each.missing and each.steps in meant)]


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """The sentence on a name that does not exist: which one is near, and which there are."""
    names = sorted(allowed)
    return f"unknown {what};{_suggestion(name, names)} allowed: {', '.join(names) or 'none'}"


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that `name` was probably meant to be."""
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def shown_path(steps: Steps, model: type[BaseModel]) -> str:
    """Steps as text, but for what is no key of ours inside a secret: `password: {hunter2}`."""
    types: Sequence[object] = (model,)
    secret = False
    for index, step in enumerate(steps):
        if secret and not any(step in _keys(each) for each in types):
            return step_text(steps[:index])
        types = list(_types_in(types, step))
        secret = secret or _is_secret(step, types)
    return step_text(steps)


def quoted(text: str) -> str:
    """Text in double quotes; what would break the line or play with a terminal is escaped."""
    shown = (char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return f'"{"".join(shown)}"'


def step_text(steps: Steps) -> str:
    """Steps as people write them: `sources[0].tail`, `formats["my format"]`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the document an error is.

    Attributes:
        owners: the types that the mapping or list around the last step may have.
        secret: the value must not be shown.
        union: the place of the outermost union of types around, and the member that was tried.
    """

    steps: Steps = ()
    owners: Sequence[object] = ()
    secret: bool = False
    union: tuple[Steps, str] | None = None


_Error = tuple[ErrorDetails, _Place]


def _place(details: ErrorDetails, model: type[BaseModel], document: object) -> _Place:
    """The place of an error: its `loc` without the names of pydantic's own that stand in it."""
    steps: Steps = ()
    owners: Sequence[object] = ()
    types: Sequence[object] = (model,)
    secret, union, in_union = False, None, False
    value: Any = document
    missing = details["type"] == "missing"
    for index, step in enumerate(details["loc"], start=1):
        if len(types) > 1 and not in_union:
            union, in_union = union or (steps, str(step)), True
            types = [member for member in types if _is_called(member, step)] or types
        elif _holds(value, step) or (missing and index == len(details["loc"])):
            value = value[step] if _holds(value, step) else None
            owners, types = types, list(_types_in(types, step))
            secret = secret or _is_secret(step, types)
            steps, in_union = (*steps, step), False
    return _Place(steps, owners, secret, union)


def _holds(value: object, step: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _types_in(owners: Sequence[object], step: int | str) -> Iterator[object]:
    """The types that the value at `step` may have."""
    for owner in owners:
        inside = [given for given in get_args(owner) if given is not Ellipsis]
        yield from _members(inside[-1] if inside else _keys(owner).get(step))


def _members(annotation: object) -> Iterator[object]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _members(arguments[0])
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _members(argument)
    elif annotation not in (None, NoneType):
        yield annotation


def _keys(owner: object) -> dict[int | str, object]:
    """The annotations of a model by key; nothing for what is no model."""
    if not (isinstance(owner, type) and issubclass(owner, BaseModel)):
        return {}
    return {field.alias or name: field.annotation for name, field in owner.model_fields.items()}


def _is_called(member: object, label: int | str) -> bool:
    """Whether pydantic calls a union's member so: by its name, or its discriminator's value."""
    literals = [get_args(annotation) for annotation in _keys(member).values()]
    return getattr(member, "__name__", None) == label or any(label in each for each in literals)


def _is_secret(step: int | str, types: Sequence[object]) -> bool:
    return (isinstance(step, str) and _SECRET_NAME.fullmatch(step) is not None) or any(
        isinstance(each, type) and issubclass(each, Confidential | SecretStr) for each in types
    )


def _at_discriminator(details: ErrorDetails, place: _Place) -> _Error:
    """A wrong or missing discriminator as what it is to the reader: a wrong or missing value."""
    context = details["ctx"]
    place = replace(place, steps=(*place.steps, context["discriminator"].strip("'")))
    if details["type"] == "union_tag_not_found":
        return {**details, "type": "missing"}, place
    choices = {"expected": context["expected_tags"]}
    return {**details, "type": "literal_error", "input": context["tag"], "ctx": choices}, place


def _is_refused_inside(details: ErrorDetails) -> bool:
    """Whether a list is too short only because pydantic left out what it refused in it."""
    value = details["input"]
    return (
        details["type"] == "too_short"
        and isinstance(value, list)
        and len(value) >= details["ctx"]["min_length"]
    )


def _mistake(details: ErrorDetails, place: _Place) -> Mistake:
    kind, steps, value = details["type"], place.steps, details["input"]
    if kind == FINDING:
        return Mistake(steps, details["ctx"]["text"])
    if kind == "missing":
        return Mistake(steps, "required, but missing", missing=True)
    if kind == "extra_forbidden":
        return _unknown_key(str(steps[-1]), place)
    message = _expected(details, place) + _found(details, place)
    if isinstance(value, str) and (choices := _choices(details)):
        message += f";{near}" if (near := _suggestion(value, choices)) else ""
    return Mistake(steps, message, value)


def _unknown_key(key: str, place: _Place) -> Mistake:
    allowed = {str(name): types for owner in place.owners for name, types in _keys(owner).items()}
    message = unknown("key", key, allowed)
    for name, annotation in allowed.items():
        if any(key in _keys(member) for member in _members(annotation)):
            message += f"; {key} is a key of {name}"
            break
    return Mistake(place.steps, message, meant=nearest(key, allowed))


def _of_union(steps: Steps, members: Sequence[Sequence[_Error]]) -> Iterator[Mistake]:
    """Of several types that a value could have had: what is wrong with the one that was meant.

    It is the one that fits on the outside and is wrong within; without such, all are named.
    """
    entered = [
        errors for errors in members if any(len(place.steps) > len(steps) for _, place in errors)
    ]
    if entered:
        for error in min(entered, key=len):
            yield _mistake(*error)
    else:
        first = [errors[0] for errors in members]
        phrases = dict.fromkeys(_expected(*error).removeprefix("expected ") for error in first)
        yield Mistake(steps, f"expected {_either(phrases)}{_found(*first[0])}")


def _expected(details: ErrorDetails, place: _Place) -> str:
    """What is allowed."""
    context = details.get("ctx", {})
    if template := _EXPECTED.get(details["type"]):
        return template.format_map({key: _number(value) for key, value in context.items()})
    if choices := _choices(details):
        return f"expected {_either(choices)}"
    if place.secret:
        return "this value is not allowed"  # a validator's sentence may quote it
    return str(context["error"]) if details["type"] == "value_error" else details["msg"]


def _choices(details: ErrorDetails) -> list[str]:
    """The values that a Literal or an Enum allows, if it is one of these."""
    return re.findall("'(.*?)'", details.get("ctx", {}).get("expected", ""))


def _found(details: ErrorDetails, place: _Place) -> str:
    """What stands there instead."""
    kind, value = details["type"], details["input"]
    if "actual_length" in details.get("ctx", {}) and not isinstance(value, str):
        return f"; found {details['ctx']['actual_length']}"
    if isinstance(value, dict | list) and kind == "value_error":
        return ""  # it has the right type, and is wrong as a whole
    match value:
        case None:
            return "; found nothing"
        case dict():
            return "; found a mapping"
        case list():
            return "; found a list"
        case _ if place.secret:
            return "; the value is not shown, for it may be secret"
        case bool() | int() | float():
            quotes = "; put it in quotes" if kind == "string_type" else ""
            return f"; found {str(value).lower()}{quotes}"
        case _:
            text = str(value)
            return f"; found {quoted(text if len(text) <= _SHOWN else text[:_SHOWN] + '…')}"


def _number(value: object) -> object:
    """A bound without the `.0` that pydantic gives it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _either(phrases: Iterable[str]) -> str:
    *first, last = phrases
    return f"{', '.join(first)} or {last}" if first else last


def _suggestion(name: str, allowed: Iterable[str]) -> str:
    near = nearest(name, allowed)
    return f' did you mean "{near}"?' if near else ""
