"""Several ledgers read as one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ledger import Additions, Exemplar, FamilySnapshot, Ledger, PlacedExemplar
from exporter.vocabulary import IDENTITY, REQUEST_DURATION, TOKENS, Instrument, instruments
from exporter.workers.messages import AllSeries, Committed, changed, shown
from exporter.workers.total import Mirror, Total

WORKERS = 2


class Told:
    """A worker's ledger, and its mirror in the main process."""

    def __init__(self) -> None:
        self.mirror = Mirror(a_ledger(), 0)
        self.generation = 0
        self.begin(a_ledger())

    def begin(self, before: Ledger) -> None:
        """A new life, from what was committed in the one before."""
        self.generation += 1
        self.ledger = Ledger(instruments({}), IDENTITY, listener=self._committed)
        self.ledger.load(before.stored())
        told = AllSeries(self.generation, self.mirror.batch, self.ledger.stored())
        self.mirror.begin(told, a_ledger())

    def _committed(self, changes: object, exemplars: object) -> None:
        batch = self.mirror.batch + 1
        told = Committed(self.generation, batch, changed(changes), shown(exemplars))  # type: ignore[arg-type]
        self.mirror.add(told)


def a_ledger() -> Ledger:
    return Ledger(instruments({}), IDENTITY)


def add(
    ledger: Ledger,
    instrument: Instrument,
    model: str,
    amount: float,
    exemplar: Exemplar | None = None,
) -> None:
    """Commit an amount to a series."""
    family = ledger[instrument]
    extra = ("",) if instrument is REQUEST_DURATION else ("input",)
    row = ledger.row(instrument, (model, "provider", "chat", *extra))
    additions = Additions()
    additions.add(family, np.array([row]), np.full((1, family.width), amount))
    placed = [PlacedExemplar(instrument, row, 0, exemplar)] if exemplar else []
    ledger.publish(ledger.changes(additions), placed)


def values(families: list[FamilySnapshot]) -> dict[tuple[str, ...], list[float]]:
    return {
        (family.instrument.name, *labels): family.values[row].tolist()
        for family in families
        for row, labels in enumerate(family.labels)
    }


STEPS = st.lists(
    st.tuples(
        st.integers(0, WORKERS),
        st.sampled_from([REQUEST_DURATION, TOKENS]),
        st.sampled_from(["a", "b", "c", "d"]),
        st.integers(1, 9),
        st.sampled_from(["count", "count", "count", "die", "scrape", "reload"]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(STEPS)
def test_the_sum_is_that_of_all_ledgers_over_deaths_and_its_rows_stay(steps: list) -> None:  # type: ignore[type-arg]
    own, workers = a_ledger(), [Told() for _ in range(WORKERS)]
    total = Total(own, [worker.mirror for worker in workers])
    expected: dict[tuple[str, ...], float] = {}
    rows: dict[str, list[tuple[str, ...]]] = {}
    for number, instrument, model, amount, event in steps:
        if event == "die" and number:
            workers[number - 1].begin(workers[number - 1].ledger)
        elif event == "reload":
            mirrors = [worker.mirror.refitted(a_ledger()) for worker in workers]
            for worker, mirror in zip(workers, mirrors, strict=True):
                worker.mirror = mirror
            total = Total(own, mirrors)
            rows.clear()
            if amount % 2:  # Else the workers have not told of it yet.
                for worker in workers:
                    worker.begin(worker.ledger)
        elif event == "scrape":
            for family in total.snapshot():
                before = rows.setdefault(family.instrument.name, [])
                assert list(family.labels[: len(before)]) == before
                rows[family.instrument.name] = list(family.labels)
        elif number == 0 or workers[number - 1].mirror._generation is not None:
            ledger = workers[number - 1].ledger if number else own
            add(ledger, instrument, model, float(amount))
            key = (instrument.name, model)
            expected[key] = expected.get(key, 0.0) + amount
    found = {(name, model): value for (name, model, *_), value in values(total.snapshot()).items()}
    assert {key: value[0] for key, value in found.items()} == expected
    assert all(len(set(value)) == 1 for value in found.values())


def test_what_a_worker_tells_under_an_old_configuration_is_not_added_to_the_new_one() -> None:
    worker = Told()
    add(worker.ledger, TOKENS, "a", 1.0)
    worker.mirror = worker.mirror.refitted(a_ledger())
    add(worker.ledger, TOKENS, "b", 1.0)
    assert [model for _, model, *_ in values(worker.mirror.ledger.snapshot())] == ["a"]
    worker.begin(worker.ledger)
    assert [model for _, model, *_ in values(worker.mirror.ledger.snapshot())] == ["a", "b"]


def test_a_histogram_with_other_bounds_is_not_carried_into_a_new_configuration() -> None:
    worker = Told()
    add(worker.ledger, TOKENS, "a", 1.0)
    add(worker.ledger, REQUEST_DURATION, "a", 1.0)
    same_number = tuple(bound + 1 for bound in REQUEST_DURATION.buckets)
    other = Ledger(instruments({REQUEST_DURATION.name: same_number}), IDENTITY)
    refitted = values(worker.mirror.refitted(other).ledger.snapshot())
    assert [name for name, *_ in refitted] == [TOKENS.name]


def test_the_newest_exemplar_of_a_bucket_is_shown_and_the_earliest_time_of_birth() -> None:
    own = Ledger(instruments({}), IDENTITY, clock=lambda: 50.0)
    worker = Told()
    total = Total(own, [worker.mirror])
    old, new = Exemplar("old", "", 0.1, 10.0), Exemplar("new", "", 0.1, 20.0)
    unknown = Exemplar("unknown", "", 0.1, float("nan"))
    add(worker.ledger, REQUEST_DURATION, "a", 1.0, new)
    add(own, REQUEST_DURATION, "a", 1.0, old)
    (family,) = (f for f in total.snapshot() if f.instrument is REQUEST_DURATION)
    assert family.exemplars == {0: {0: new}}
    assert family.created == [50.0]
    add(own, REQUEST_DURATION, "a", 1.0, unknown)
    (family,) = (f for f in total.snapshot() if f.instrument is REQUEST_DURATION)
    assert family.exemplars[0][0] in (new, unknown)
