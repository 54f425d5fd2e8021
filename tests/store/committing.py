"""A process that commits without end: `python -m tests.store.committing DIRECTORY [hold]`.

Commit n moves the position to n and adds 1 to a counter, and every tenth one bears a series; so the
counter and the position are equal in each state that is whole. It prints each n that is published.
With `hold` it opens the state, says so, and waits.
"""

import sys
from pathlib import Path

import numpy as np

from exporter.ledger import Additions, Ledger
from exporter.store.state import StateStore
from exporter.vocabulary import IDENTITY, INSTRUMENTS, REQUEST_DURATION, TOKENS

SOURCE, KEY = "log", "file"
LABELS = ("qwen", "openai", "chat")


class Committing:
    """A state whose counter and position move together.

    Attributes:
        position: of the last commit.
    """

    def __init__(self, directory: Path) -> None:
        self.store = StateStore(directory)
        self.ledger = Ledger(INSTRUMENTS, IDENTITY)
        assert not self.ledger.load(self.store.series(INSTRUMENTS))
        self.position = int(self.store.positions(SOURCE).get(KEY, b"0"))
        assert self.store.facts.batch == self.position

    @property
    def total(self) -> float:
        """The counter, as readers see it."""
        return float(self.ledger[TOKENS].values.sum())

    @property
    def observations(self) -> float:
        """The histogram's count, as readers see it: a tenth of the position, begun."""
        return float(self.ledger[REQUEST_DURATION].values[:, :-1].sum())

    def commit(self) -> None:
        """Commit and publish once; safe to call again after it raised."""
        position = self.position + 1
        additions = Additions()
        row = self.ledger.row(TOKENS, (*LABELS, "input"))
        additions.add(self.ledger[TOKENS], np.array([row]), np.ones((1, 1)))
        if position % 10 == 1:
            family = self.ledger[REQUEST_DURATION]
            row = self.ledger.row(REQUEST_DURATION, (f"model-{position}", *LABELS[1:], ""))
            amounts = np.zeros((1, family.width))
            amounts[0, [2, -1]] = 1, 0.25
            additions.add(family, np.array([row]), amounts)
        changes = self.ledger.changes(additions)
        self.store.commit(changes, {SOURCE: {KEY: str(position).encode()}})
        self.ledger.publish(changes)
        self.position = position

    def check(self) -> None:
        """Totals and position are of the same commit."""
        assert self.total == self.position
        assert self.observations == (self.position + 9) // 10


def main() -> None:
    committing = Committing(Path(sys.argv[1]))
    committing.check()
    if sys.argv[2:] == ["hold"]:
        sys.stdout.write("held\n")
        sys.stdout.flush()
        sys.stdin.read()
    while True:
        committing.commit()
        sys.stdout.write(f"{committing.position}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
