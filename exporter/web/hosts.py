"""The names that the server may be asked by.

A stranger's web page can let its own name lead to 127.0.0.1 and then read, as its own, what is
served there without a password (DNS rebinding). The browser tells on it: that name is the request's
`Host`. An address, or a name that the public DNS cannot have, cannot be turned around so.
"""

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

_PRIVATE = frozenset({"localhost", "local", "internal", "lan", "svc", "test"})
"""Last parts of names that the public DNS does not have (RFC 6761, RFC 6762, ICANN 2024)."""


class AllowedHosts:
    """Whether a request may go by the name that it asks for.

    Without patterns, names are looked at only where such a page gets at what its author does not:
    on a connection from this machine to itself, without TLS or a password.

    Args:
        patterns: names that are allowed beside private ones and addresses, on each connection; `*`
            stands for any characters.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [pattern.lower() for pattern in patterns]

    def admits(self, host: str, own_address: str, *, is_protected: bool) -> bool:
        """Whether it may.

        Args:
            host: the header; empty if there is none, which no browser leaves out.
            own_address: of the connection's end that is ours.
            is_protected: the server has TLS or asks for a password.
        """
        if not host or not (self._patterns or (_is_loopback(own_address) and not is_protected)):
            return True
        name = _name(host)
        if _is_address(name) or "." not in name or name.rpartition(".")[2] in _PRIVATE:
            return True
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)


def _name(host: str) -> str:
    """Of a `Host` header, without the port; one that is none stays as it is, and fits nothing."""
    try:
        return (urlsplit(f"//{host}").hostname or host).rstrip(".")
    except ValueError:
        return host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
