"""Sockets that go from one process to another."""

import os
import socket
from contextlib import ExitStack

import pytest

from exporter.workers.handover import MOST_SOCKETS, channel, hand_over, taken_over


@pytest.mark.parametrize("count", [0, 1, MOST_SOCKETS, MOST_SOCKETS + 1])
def test_all_sockets_arrive_under_their_names(count: int) -> None:
    with ExitStack() as opened:
        mine, theirs = map(opened.enter_context, channel())
        one, other = map(opened.enter_context, (socket.socket(), socket.socket()))
        names = [f"source-{number}" for number in range(count)]
        for sent in (one, other):
            hand_over(mine, dict.fromkeys(names, sent))
        for sent in (one, other):
            taken = taken_over(theirs)
            for each in taken.values():
                opened.enter_context(each)
            assert list(taken) == names
            same = [os.path.sameopenfile(each.fileno(), sent.fileno()) for each in taken.values()]
            assert all(same)


def test_a_worker_that_is_gone_or_takes_nothing_does_not_hold_up_the_main_process() -> None:
    mine, theirs = channel()
    with mine:
        with theirs, pytest.raises(BlockingIOError):
            hand_over_forever(mine)
        with pytest.raises(ConnectionError):
            hand_over(mine, {})


def hand_over_forever(channel: socket.socket) -> None:
    while True:
        hand_over(channel, {})
