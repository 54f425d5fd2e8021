"""The sockets that clients of proxies connect to: opened by one process, accepted at by all.

All processes share one queue. So whoever is free takes the next connection, none is lost with a
process that dies, and a port that another program has is refused. With a socket of its own for each
(SO_REUSEPORT) the kernel would deal connections out blindly, also to one that is stuck, and share
the port with strangers.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from exporter.listener import BACKLOG, ListenError, open_socket, port_of
from exporter.sources.proxy.config import ProxyConfig


@dataclass(frozen=True, slots=True)
class WantedProxy:
    """A proxy as a configuration has it; as long as nothing of it changes, it goes on.

    Attributes:
        attributes: names of a record's attributes, in order.
    """

    source: str
    config: ProxyConfig
    attributes: tuple[str, ...]


Sockets: TypeAlias = Mapping[str, socket.socket]
"""By the name of the source."""


class Doors:
    """Of the process that opens them.

    Args:
        tell: is called with the proxies and their sockets when they change, to tell the others.
    """

    def __init__(self, tell: Callable[[Sequence[WantedProxy], Sockets], None]) -> None:
        self._tell = tell
        self._open: dict[tuple[str, str], socket.socket] = {}

    def follow(self, wanted: Sequence[WantedProxy]) -> dict[str, socket.socket]:
        """Open those of these proxies, and no others; who connects meanwhile waits.

        Returns:
            Their sockets, to be closed by the caller.

        Raises:
            ListenError: an address cannot be had; then those of before stay open.
        """
        addresses = {each.source: (each.source, each.config.listen) for each in wanted}
        missing = [key for key in addresses.values() if key not in self._open]
        old = [each for key, each in self._open.items() if key not in addresses.values()]
        ports = {port_of(address) for _, address in missing}
        in_the_way = [each for each in old if each.getsockname()[1] in ports]
        for each in in_the_way:
            _shut(each)
        new: dict[tuple[str, str], socket.socket] = {}
        try:
            for key in missing:
                new[key] = open_socket(key[1])
        except ListenError:
            for each in new.values():
                each.close()
            for each in in_the_way:
                each.listen(BACKLOG)
            raise
        for each in old:
            _shut(each)
            each.close()
        opened = self._open | new
        self._open = {key: opened[key] for key in addresses.values()}
        sockets = {source: self._open[key] for source, key in addresses.items()}
        self._tell(wanted, sockets)
        return {source: each.dup() for source, each in sockets.items()}

    def close(self) -> None:
        """Shut all of them; connections that stand go on."""
        self.follow(())


def _shut(listening: socket.socket) -> None:
    """Stop it in all processes that have it."""
    with suppress(OSError):  # Only Linux can.
        listening.shutdown(socket.SHUT_RD)
