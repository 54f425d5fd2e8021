"""Which names may become label values: cardinality is bounded by design.

A model's name is the client's text. It becomes a label only once a request for it has succeeded,
or when the configuration lists it; until then, and beyond the limit, `other` stands for it.
"""

from collections.abc import Iterable

from exporter.vocabulary import OTHER, UNKNOWN

USUAL_LIMIT = 200
"""Names that each label lets in, unless the configuration says otherwise."""


class Guard:
    """The names of one label that were let in. They stay in.

    Args:
        limit: how many names are let in.
        known: let in from the beginning, whatever the limit.
    """

    def __init__(self, limit: int, known: Iterable[str] = ()) -> None:
        self._limit = limit
        self._admitted = {UNKNOWN, OTHER, ""}
        self._taken = 0
        for name in known:
            self.admit(name, beyond_limit=True)

    def admit(self, name: str, *, beyond_limit: bool = False) -> bool:
        """Let a name in, if there is room; whether it is in now."""
        if name in self._admitted:
            return True
        if self._taken >= self._limit and not beyond_limit:
            return False
        self._admitted.add(name)
        self._taken += 1
        return True

    def __contains__(self, name: str) -> bool:
        return name in self._admitted
