"""Rules of a document that need its values as types, such as a threshold in its metric's unit."""

from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel

from exporter.documents import Finding, checked

M = TypeVar("M", bound=BaseModel)


def sound(section: M, findings: Iterable[Finding]) -> M:
    """The section, unless there are findings.

    Raises:
        ValidationError: with the findings, at their places in the section.
    """

    def unchanged(value: object, outer_location: str | int | None = None, /) -> M:
        return section

    return checked(section, unchanged, findings)
