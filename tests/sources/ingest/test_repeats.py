"""What was counted within the window is known again, after a restart too, and then forgotten."""

import pytest

from exporter.sources.ingest import repeats
from exporter.sources.ingest.repeats import Repeats, digest_of

ONE, TWO, THREE = (digest_of(name) for name in ("one", "two", "three"))


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_in_the_positions_is_known_after_a_restart(clock: Clock) -> None:
    before = Repeats(600, {}, clock)
    assert before.add(ONE)
    assert not before.add(ONE)
    known = {key: value for key, value in before.positions().items() if value is not None}
    after = Repeats(600, known, clock)
    assert ONE in after
    assert TWO not in after


def test_the_window_forgets_what_came_before_it_and_nothing_else(clock: Clock) -> None:
    known = Repeats(600, {}, clock)
    (first,) = (known.add(ONE), known.positions())[1]
    clock.now += 400
    (second,) = (known.add(TWO), known.positions())[1]
    clock.now += 300
    assert known.positions() == {first: None}
    assert (ONE in known, TWO in known) == (False, True)
    assert known.positions() == {}
    clock.now += 400
    assert known.positions() == {second: None}


def test_a_clock_that_is_set_back_leaves_the_order_in_which_they_came(clock: Clock) -> None:
    known = Repeats(600, {}, clock)
    (first,) = (known.add(ONE), known.positions())[1]
    clock.now -= 100
    (second,) = (known.add(TWO), known.positions())[1]
    assert first < second


def test_beyond_the_most_that_is_remembered_the_oldest_go_first(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST_REMEMBERED", 2)
    known = Repeats(600, {}, clock)
    for digest in (ONE, TWO, THREE):
        known.add(digest)
        known.positions()
    assert [digest in known for digest in (ONE, TWO, THREE)] == [False, True, True]
