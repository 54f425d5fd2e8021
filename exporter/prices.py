"""Costs where the gateway reports none: estimated from a configured price list."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from exporter.record import (
    SUCCEEDED,
    TOKEN_COLUMNS,
    UNIT_COLUMNS,
    Batch,
    Kind,
    Kinds,
    Numbers,
)

PRICED = TOKEN_COLUMNS + UNIT_COLUMNS
"""Columns of a batch that a price can stand on."""


@dataclass(frozen=True, slots=True)
class Price:
    """What the models of an entry cost.

    Attributes:
        models: patterns as a shell writes them; the first entry that matches a model counts.
        per_unit: for each of `PRICED`. Of parts (cached, reasoning) it is what they cost more, or
            less, than the whole that they are a part of: the list's price minus the whole's.
    """

    models: tuple[str, ...]
    currency: str
    per_unit: tuple[float, ...]


class Prices:
    """The price list, by kind of request."""

    def __init__(self, entries: Sequence[Price] = ()) -> None:
        self._entries = entries
        self._generation = -1
        self._per_unit = np.zeros((0, len(PRICED)))

    def of(self, kind: Kind) -> Price | None:
        """The entry for the model that was asked for, else for the one that answered."""
        for model in (kind.model, kind.response_model):
            for entry in self._entries:
                if any(fnmatchcase(model, pattern) for pattern in entry.models):
                    return entry
        return None

    def estimate(self, batch: Batch) -> Numbers | None:
        """Cost of each record in its entry's currency, NaN without a price; None without a list."""
        if not self._entries:
            return None
        per_unit = self._table(batch.kinds)[batch.kind]
        amounts = np.array([getattr(batch.numbers, name) for name in PRICED]).T
        failed = (batch.kinds.traits_of(batch.kind) & SUCCEEDED) == 0
        amounts[failed, len(TOKEN_COLUMNS) :] = 0
        cost: Numbers = (np.nan_to_num(amounts) * per_unit).sum(axis=1)
        return cost

    def _table(self, kinds: Kinds) -> Numbers:
        """Shape (kinds, len(PRICED)); NaN for a model without a price."""
        if kinds.generation != self._generation:
            self._generation = kinds.generation
            self._per_unit = np.zeros((0, len(PRICED)))
        new = kinds.since(len(self._per_unit))
        if new:
            found = [self.of(kind) for kind in new]
            rows = [entry.per_unit if entry else (np.nan,) * len(PRICED) for entry in found]
            self._per_unit = np.concatenate([self._per_unit, np.array(rows)])
        return self._per_unit
