import threading

import numpy as np
import pytest

from exporter.ledger import (
    ROWS_WITH_EXEMPLARS,
    Additions,
    Exemplar,
    Ledger,
    PlacedExemplar,
    StoredSeries,
)
from exporter.vocabulary import IDENTITY, INSTRUMENTS, REQUEST_DURATION, TOKENS, instruments
from tests.counting import labels_of, series_of

LABELS = ("qwen", "openai", "chat")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(INSTRUMENTS, IDENTITY, clock=lambda: 1000.0)


def add_tokens(ledger: Ledger, *amounts: float) -> Additions:
    additions = Additions()
    row = ledger.row(TOKENS, (*LABELS, "input"))
    rows = np.full(len(amounts), row)
    additions.add(ledger[TOKENS], rows, np.array(amounts).reshape(-1, 1))
    return additions


def test_readers_see_a_series_once_it_is_published(ledger: Ledger) -> None:
    changes = ledger.changes(add_tokens(ledger, 3))
    assert series_of(ledger) == {}
    ledger.publish(changes)
    changes = ledger.changes(add_tokens(ledger, 4))
    assert list(series_of(ledger).values()) == [[3]]
    before = ledger.snapshot()
    ledger.publish(changes)
    assert list(series_of(ledger).values()) == [[7]]
    assert [family.values.tolist() for family in before if family.labels] == [[[3]]]


def test_amounts_for_one_series_are_all_added(ledger: Ledger) -> None:
    additions = add_tokens(ledger, 1, 2, 4)
    row = ledger.row(TOKENS, (*LABELS, "output"))
    additions.add(ledger[TOKENS], np.array([row, 0, row]), np.array([[8.0], [16.0], [32.0]]))
    ledger.publish(ledger.changes(additions))
    assert sorted(series_of(ledger).values()) == [[23], [40]]


def test_a_change_that_was_not_published_is_worked_out_again_alike(ledger: Ledger) -> None:
    additions = add_tokens(ledger, 3)
    first, second = ledger.changes(additions), ledger.changes(additions)
    assert [change.totals.tolist() for change in first] == [[[3]]]
    assert [change.totals.tolist() for change in second] == [[[3]]]


def test_a_series_that_nothing_is_added_to_is_born_at_zero(ledger: Ledger) -> None:
    ledger.row(REQUEST_DURATION, (*LABELS, ""))
    changes = ledger.changes(Additions())
    ledger.publish(changes)
    (values,) = series_of(ledger).values()
    assert values == [0.0] * (len(REQUEST_DURATION.buckets) + 2)
    assert ledger.changes(Additions()) == []


def test_many_series_keep_their_values(ledger: Ledger) -> None:
    for number in range(100):
        row = ledger.row(TOKENS, (f"model-{number}", *LABELS[1:], "input"))
        additions = Additions()
        additions.add(ledger[TOKENS], np.array([row]), np.array([[float(number)]]))
        ledger.publish(ledger.changes(additions))
    assert [value for (value,) in series_of(ledger).values()] == list(range(100))


def test_what_was_stored_goes_on_with_its_birth_time(ledger: Ledger) -> None:
    model = {"gen_ai.request.model": "qwen", "gen_ai.token.type": "input"}
    series = StoredSeries(9, TOKENS.name, model, 500.0, np.array([5.0]))
    assert ledger.load([series]) == []
    assert series_of(ledger) == {(TOKENS.name, frozenset(model.items())): [5]}
    changes = ledger.changes(Additions())
    assert changes == []
    ledger.row(TOKENS, (*LABELS, "input"))
    ledger.publish(ledger.changes(Additions()))
    (family,) = (each for each in ledger.snapshot() if each.labels)
    assert family.created == [500.0, 1000.0]
    assert ledger[TOKENS].ids == [9, 10]


def test_what_no_longer_fits_is_left_out() -> None:
    ledger = Ledger(instruments({"gen_ai.server.request.duration": (1.0, 2.0)}), IDENTITY)
    fits = StoredSeries(1, REQUEST_DURATION.name, {}, 0.0, np.zeros(4))
    unfit = [
        StoredSeries(2, REQUEST_DURATION.name, {}, 0.0, np.zeros(5)),
        StoredSeries(3, TOKENS.name, {"workspace": "a"}, 0.0, np.zeros(1)),
        StoredSeries(4, "llm_gateway.of_before", {}, 0.0, np.zeros(1)),
    ]
    assert ledger.load([unfit[0], fits, *unfit[1:]]) == unfit
    assert series_of(ledger) == {(REQUEST_DURATION.name, frozenset()): [0.0] * 4}
    ledger.row(TOKENS, (*LABELS, "input"))
    assert ledger[TOKENS].ids == [5]


def test_an_attribute_that_is_new_is_an_empty_label_of_older_series() -> None:
    ledger = Ledger(INSTRUMENTS, (*IDENTITY, "workspace"))
    named = dict(zip((*IDENTITY, "gen_ai.token.type"), (*LABELS, "input"), strict=True))
    assert ledger.load([StoredSeries(1, TOKENS.name, named, 0.0, np.array([5.0]))]) == []
    assert ledger.row(TOKENS, (*LABELS, "", "input")) == 0
    assert ledger.row(TOKENS, (*LABELS, "a", "input")) == 1


def test_a_bucket_shows_its_newest_exemplar(ledger: Ledger) -> None:
    row = ledger.row(REQUEST_DURATION, (*LABELS, ""))
    for name in ("first", "second"):
        exemplar = Exemplar(name, "", 0.5, 1.0)
        placed = [PlacedExemplar(REQUEST_DURATION, row, 3, exemplar)]
        ledger.publish(ledger.changes(Additions()), placed)
    shown = next(family for family in ledger.snapshot() if family.labels).exemplars
    assert shown == {row: {3: exemplar}}


def test_exemplars_of_the_newest_series_are_kept(ledger: Ledger) -> None:
    family = ledger[REQUEST_DURATION]
    rows = range(ROWS_WITH_EXEMPLARS + 10)
    for row in rows:
        family.show(row, 0, Exemplar(str(row), "", 0.5, 1.0))
        family.show(0, 1, Exemplar("again", "", 0.5, 1.0))
    assert set(family.exemplars) == {0, *rows[11:]}
    assert family.exemplars[0].keys() == {0, 1}


def test_a_snapshot_is_of_one_moment() -> None:
    """A writer adds to two families in one change each time; a reader never sees them apart."""
    ledger = Ledger(INSTRUMENTS, IDENTITY)
    stopping = threading.Event()

    def write() -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            additions = Additions()
            for instrument, labels in ((TOKENS, "input"), (REQUEST_DURATION, "")):
                family = ledger[instrument]
                ledger.row(instrument, (f"model-{number}", *LABELS[1:], labels))
                rows = np.arange(len(family))
                additions.add(family, rows, np.ones((len(rows), family.width)))
            ledger.publish(ledger.changes(additions))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = 0
        while seen < 100:
            families = {each.instrument.name: each for each in ledger.snapshot()}
            tokens, durations = families[TOKENS.name], families[REQUEST_DURATION.name]
            assert len(tokens.labels) == len(tokens.created) == len(tokens.values)
            assert len(tokens.labels) == len(durations.labels)
            assert tokens.values[:, 0].tolist() == durations.values[:, -1].tolist()
            if len(tokens.labels) > seen:
                seen = len(tokens.labels)
                assert tokens.values[-1] == 1
                assert labels_of(tokens, 0) >= {("gen_ai.request.model", "model-1")}
    finally:
        stopping.set()
        writer.join()
