"""A target: takes any bytes, and raises if a promise is broken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """See the module.

    Attributes:
        seeds: makes good inputs, which others are made of.
    """

    name: str
    feed: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]

    def __str__(self) -> str:
        return self.name
