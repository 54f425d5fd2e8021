"""YAML that a person wrote, as pydantic types; all its mistakes at once, each with its line.

A model derives from `Section`. Rules that pydantic's own cannot say (exactly one of some keys,
names that must agree across the document) are findings, given to `checked` in a validator of mode
"wrap": thus they are reported together with what else is wrong.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from exporter.errors import DocumentError, Problem, SecretError
from exporter.mistakes import FINDING, Confidential, mistakes, nearest, shown_path
from exporter.yaml_tree import Fault, Position, Steps, YamlError, parse

M = TypeVar("M", bound=BaseModel)

Finding: TypeAlias = tuple[Steps, str]
"""Where in a value, and a sentence on what is wrong there."""


def load(path: Path, model: type[M], text: str | None = None) -> M:
    """The document at `path`, or `text` as if it stood there.

    Raises:
        DocumentError: it cannot be read or is not what `model` describes; holds every problem.
    """
    try:
        tree = parse(_text_of(path) if text is None else text)
    except YamlError as error:
        line, column = error.position or (None, None)
        raise DocumentError([Problem(path, line, column, "", error.message)]) from None
    faults = list(tree.faults)
    unreadable = {fault.steps for fault in faults}
    try:
        document = model.model_validate(tree.value)
    except ValidationError as error:
        faults.extend(
            Fault(mistake.steps, tree.position(mistake.steps), mistake.message)
            for mistake in mistakes(error, model, tree.value)
            if mistake.value is not None or mistake.steps not in unreadable
        )
    if faults:
        raise DocumentError(
            Problem(path, *fault.position, shown_path(fault.steps, model), fault.message)
            for fault in sorted(faults, key=attrgetter("position"))
        )
    return document


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise YamlError(f"cannot be read: {error.strerror}", None) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise YamlError(message, Position(line, column)) from None


class Section(BaseModel):
    """A mapping in a document: immutable, without unknown keys, documented under each key."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )


def checked(data: object, handler: ModelWrapValidatorHandler[M], findings: Iterable[Finding]) -> M:
    """What `handler` makes of `data`, unless there are findings.

    Raises:
        ValidationError: with the findings, and with what the handler found too.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError(FINDING, "{text}", {"text": text}), loc=steps, input=data
        )
        for steps, text in findings
    ]
    if not errors:
        return handler(data)
    try:
        handler(data)
    except ValidationError as error:
        for known in error.errors(include_url=False):
            kind = PydanticCustomError(known["type"], known["msg"], known.get("ctx"))
            errors.append(InitErrorDetails(type=kind, loc=known["loc"], input=known["input"]))
    raise ValidationError.from_exception_data("document", errors)


def sound(section: M, findings: Iterable[Finding]) -> M:
    """The section, unless there are findings.

    Raises:
        ValidationError: with the findings, at their places in the section.
    """

    def unchanged(value: object, outer_location: str | int | None = None, /) -> M:
        return section

    return checked(section, unchanged, findings)


def exactly_one(data: object, *keys: str) -> Iterator[Finding]:
    """A finding unless `data` has one of `keys`, and one only."""
    return _some_of(data, keys, f"exactly one of {', '.join(keys)}", most=1)


def at_least_one(data: object, *keys: str) -> Iterator[Finding]:
    """A finding unless `data` has one or more of `keys`."""
    return _some_of(data, keys, f"at least one of {', '.join(keys)}", most=len(keys))


def _some_of(data: object, keys: Sequence[str], wanted: str, most: int) -> Iterator[Finding]:
    if not isinstance(data, Mapping):
        return
    given = [key for key in keys if data.get(key) is not None]
    empty = [f"{key} without a value" for key in keys if key in data and key not in given]
    misspelt = any(nearest(str(key), keys) for key in data if key not in keys)
    if len(given) > most or not (given or misspelt):
        found = " and ".join(given or empty) or "none"
        yield (), f"needs {wanted}; found {found}"


def under(data: object, key: str) -> Any:
    """What stands under a key of a mapping or of a section made of it; None if nothing does."""
    return data.get(key) if isinstance(data, Mapping) else getattr(data, key, None)


def texts(data: object, *keys: str) -> Iterator[tuple[Steps, str]]:
    """Each text under `keys`, where "*" is every entry of a list, whatever else `data` may hold."""
    if not keys:
        if isinstance(data, str):
            yield (), data
        return
    entries: Iterable[tuple[str | int, object]]
    if keys[0] == "*":
        entries = enumerate(data) if isinstance(data, list | tuple) else ()
    else:
        entries = [(keys[0], under(data, keys[0]))]
    for step, value in entries:
        for steps, text in texts(value, *keys[1:]):
            yield (step, *steps), text


class Secret(Section, Confidential):
    """A password or key, which a document names but never holds."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["file"]}, {"required": ["env"]}]}
    )

    file: Path | None = None
    """File that holds the secret; a newline at its end is no part of it."""

    env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that holds the secret."""

    @model_validator(mode="wrap")
    @classmethod
    def _one_place(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, exactly_one(data, "file", "env"))

    def read(self) -> str:
        """The secret as it is now: a file may be replaced while the program runs.

        Raises:
            SecretError: there is none, or none that a header can hold; the text names the place,
                never the secret.
        """
        place = f"secret file {self.file}" if self.file else f"environment variable {self.env}"
        try:
            secret = self.file.read_text("utf-8") if self.file else os.environ[str(self.env)]
        except OSError as error:
            raise SecretError(f"{place} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretError(f"{place} is not UTF-8 text") from None
        except KeyError:
            raise SecretError(f"{place} is not set") from None
        secret = secret.removesuffix("\n").removesuffix("\r")
        if not secret:
            raise SecretError(f"{place} is empty")
        if not secret.isprintable():
            raise SecretError(f"{place} holds a line break, or another character that is unseen")
        return secret
