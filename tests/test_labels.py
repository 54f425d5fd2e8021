from exporter.labels import Guard
from exporter.vocabulary import OTHER, UNKNOWN


def test_names_are_let_in_up_to_the_limit_and_stay_in() -> None:
    guard = Guard(2)
    assert [guard.admit(name) for name in ("a", "b", "c", "a", "b")] == [
        *(True, True, False, True, True)
    ]
    assert "a" in guard
    assert "c" not in guard


def test_known_names_are_in_from_the_beginning_and_take_their_room() -> None:
    guard = Guard(2, ["a", "b", "c"])
    assert all(guard.admit(name) for name in "abc")
    assert not guard.admit("d")


def test_a_name_can_be_let_in_beyond_the_limit() -> None:
    guard = Guard(1, ["a"])
    assert guard.admit("b", beyond_limit=True)
    assert guard.admit("b")


def test_what_stands_for_no_name_takes_no_room() -> None:
    guard = Guard(1)
    assert all(guard.admit(name) for name in (UNKNOWN, OTHER, "", "a"))
    assert not guard.admit("b")
