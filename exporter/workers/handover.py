"""Listening sockets on their way from the main process to a worker, before the order to serve."""

import pickle
import socket

from exporter.sources.proxy.doors import Sockets

MOST_SOCKETS = 253
"""In one message: the kernel's SCM_MAX_FD."""

_MOST_BYTES = 1 << 16


def channel() -> tuple[socket.socket, socket.socket]:
    """The main process's end, which never waits, and the worker's."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    mine.setblocking(False)
    return mine, theirs


def hand_over(channel: socket.socket, sockets: Sockets) -> None:
    """Send them; they stay the sender's, too.

    Raises:
        OSError: the worker is gone, or has taken none for long.
    """
    rest = list(sockets)
    while True:
        part, rest = rest[:MOST_SOCKETS], rest[MOST_SOCKETS:]
        told = pickle.dumps((part, bool(rest)))
        socket.send_fds(channel, [told], [sockets[source].fileno() for source in part])
        if not rest:
            return


def taken_over(channel: socket.socket) -> dict[str, socket.socket]:
    """What was sent by one `hand_over`, by source."""
    taken: dict[str, socket.socket] = {}
    more = True
    while more:
        told, numbers, _, _ = socket.recv_fds(channel, _MOST_BYTES, MOST_SOCKETS)
        sources, more = pickle.loads(told)  # noqa: S301 - by this program
        for source, number in zip(sources, numbers, strict=True):
            taken[source] = socket.socket(fileno=number)
    return taken
