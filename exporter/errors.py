"""Errors that a person caused and can mend: the command line prints them without a traceback."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file.

    Attributes:
        file: as the user named it.
        line: from 1; None where the file as a whole is the problem.
        column: from 1, in characters.
        path: where in the document, such as `sources[0].tail.start`; "" for all of it.
        message: what was found and what is allowed.
    """

    file: Path
    line: int | None
    column: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return " ".join(text.splitlines())


class ExporterError(Exception):
    """The program cannot do what it was asked to; the text says why.

    Attributes:
        may_pass: it may be well without anybody's doing, so that it is worth to try again.
    """

    may_pass = False


class DocumentError(ExporterError):
    """A file that a person wrote is not what it should be; `str()` has a line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class SecretError(ExporterError):
    """A secret's file or environment variable cannot be read, or used as it is."""


class StateError(ExporterError):
    """The state directory cannot be used, and starting without it would count things twice."""


class StateInUseError(StateError):
    """Another process has the state directory, which may be about to end."""

    may_pass = True


def reason_of(error: Exception) -> str:
    """Why something failed, as the system says it: without a number, or what urllib puts around."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause)
