"""Headers on their way through: which ones end here, and which ones are added."""

import itertools
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Header: TypeAlias = tuple[bytes, bytes, bytes]
"""Name in lower case, name and value."""

HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate"),
        *(b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""Headers that are about one connection: RFC 9110, section 7.6.1."""

OURS_TO_MAKE = HOP_BY_HOP | {
    *(b"host", b"content-length", b"expect", b"x-request-id"),
    *(b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"),
    b"sec-websocket-extensions",
}
"""Headers of a request that are made anew for the upstream. Of a WebSocket's extensions none is:
messages that both sides agreed to pack could not be looked into."""

NOT_FOR_CLIENTS = HOP_BY_HOP | {b"content-length"}
"""Headers of an answer that are made anew for the client, where it has a body."""

_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close", b"upgrade", b"keep-alive, upgrade"})

_PROCESS = secrets.token_hex(10).encode()
_NUMBERS = itertools.count(secrets.randbits(40))
"""Ids that are made: of this process, and in order; asking the system for each takes longer."""

_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values by lower-case name; several of one name are joined, as RFC 9110 allows."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = joined(found[key], value) if key in found else value
    return found


def joined(value: bytes, other: bytes) -> bytes:
    """The value of a header that comes twice (RFC 9110, section 5.3)."""
    return value + b", " + other


def lines(headers: Iterable[Header], dropped: frozenset[bytes] = frozenset()) -> list[bytes]:
    """The lines of a head, in pieces, but for the headers that are dropped."""
    pieces: list[bytes] = []
    for key, name, value in headers:
        if key not in dropped:
            pieces += (name, b": ", value, b"\r\n")
    return pieces


def dropped(found: Mapping[bytes, bytes], usual: frozenset[bytes]) -> frozenset[bytes]:
    """The usual ones that end here, and those that the Connection header names."""
    connection = found.get(b"connection")
    if connection is None or connection.lower() in _PLAIN_CONNECTION:
        return usual
    return usual | {option.strip().lower() for option in connection.split(b",")}


def forwarded(found: Mapping[bytes, bytes], peer: bytes, scheme: bytes) -> tuple[bytes, ...]:
    """`X-Forwarded-*`, in pieces; of a chain of proxies the first one's scheme and host stand."""
    before = found.get(b"x-forwarded-for")
    return (
        *(b"X-Forwarded-For: ", joined(before, peer) if before else peer),
        *(b"\r\nX-Forwarded-Proto: ", found.get(b"x-forwarded-proto") or scheme),
        *(b"\r\nX-Forwarded-Host: ", found.get(b"x-forwarded-host") or found.get(b"host", b"")),
        b"\r\n",
    )


def request_id(given: bytes) -> bytes:
    """The client's own, or one that is made now where it has none that is fit for a header."""
    fit = given and _REQUEST_ID.fullmatch(given)
    return given if fit else _PROCESS + b"%012x" % next(_NUMBERS)


def trace_id(traceparent: bytes) -> str:
    """Of a W3C `traceparent` header, "" where there is none."""
    found = _TRACE_PARENT.fullmatch(traceparent) if traceparent else None
    return found[1].decode() if found and found[1].strip(b"0") else ""
