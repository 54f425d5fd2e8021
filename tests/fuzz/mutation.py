"""Inputs made of good ones: values of JSON and YAML changed as such, and bytes changed as bytes."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import yaml

PROMPT = "zqx-a-prompt-zqx"
"""Stands where prompts and answers do: no message may hold it."""

ODD_VALUES: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 200, 499, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30),
    *(10**400, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), "", "-", " ", "0", "200"),
    *("1e400", "null", "true", "nan", "0x1f", "1_000", "12ms", "1.5s", "99999-01-01"),
    *("2026-02-30T25:61:61Z", "\0", "\ud83d", "\u2028", "\x85", "é" * 300, "x" * 5000, "{}", "[]"),
    *("{", '{"a":', "*", "a.b", "../../etc/passwd", "0.0.0.0:0", "http://[", "(((((a*)*)*)*)*$"),
    *("${__from}", PROMPT, [], {}, [[]], [None], {"": None}, {"a": {"a": {"a": []}}}),
)
ODD_BYTES: Sequence[bytes] = (
    *(b"\0", b"\n", b"\r\n", b"\r", b"\n\n", b" ", b"\t", b'"', b"'", b"\\", b"{", b"}", b"["),
    *(b"]", b",", b":", b"=", b"-", b"&", b"*", b"!", b"|", b">", b"%", b"#", b"\xff", b"\xc3"),
    *(b"\xed\xa0", b"\xef\xbb\xbf", b"\\ud83d", b"\\u0000", b"1e400", b"-0", b"9" * 20),
    *(b"data: ", b"event: x\n", b"[DONE]", b"null", b"[" * 3000, b'{"a":' * 3000, b"0\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b" stdout P ", b" stderr F "),
)
LONGEST = 1 << 17
"""Bytes of what is made; what takes long because it is large tells nothing."""
_MOST_CHANGES = 4
_LONGEST_SPAN = 40


def mutated(data: bytes, draw: Random) -> bytes:
    """The data with a few changes; as a document where it is one, half of the time."""
    if draw.random() < 0.5 and (changed := _changed_document(data, draw)) is not None:
        data = changed
        if draw.random() < 0.7:
            return data[:LONGEST]
    for _ in range(draw.randint(1, _MOST_CHANGES)):
        data = draw.choice(_CHANGES)(data, draw)
    return data[:LONGEST]


def cut(data: bytes, draw: Random) -> list[bytes]:
    """The data in up to five parts, as a network may bring it."""
    places = sorted(draw.randint(0, len(data)) for _ in range(draw.randint(0, _MOST_CHANGES)))
    ends = [*places, len(data)]
    return [data[begin:end] for begin, end in zip([0, *places], ends, strict=True)]


def _insert(data: bytes, draw: Random) -> bytes:
    place = draw.randint(0, len(data))
    return data[:place] + draw.choice(ODD_BYTES) + data[place:]


def _replace(data: bytes, draw: Random) -> bytes:
    place = draw.randint(0, len(data))
    return data[:place] + draw.choice(ODD_BYTES) + data[place + draw.randint(1, _LONGEST_SPAN) :]


def _delete(data: bytes, draw: Random) -> bytes:
    place = draw.randint(0, len(data))
    return data[:place] + data[place + draw.randint(1, _LONGEST_SPAN) :]


def _repeat(data: bytes, draw: Random) -> bytes:
    place = draw.randint(0, len(data))
    span = data[place : place + draw.randint(1, _LONGEST_SPAN)]
    return data[:place] + span * draw.choice((2, 3, 100)) + data[place:]


def _move(data: bytes, draw: Random) -> bytes:
    begin, place = draw.randint(0, len(data)), draw.randint(0, len(data))
    return data[:place] + data[begin : begin + _LONGEST_SPAN] + data[place:]


def _end(data: bytes, draw: Random) -> bytes:
    return data[: draw.randint(0, len(data))]


def _flip(data: bytes, draw: Random) -> bytes:
    if not data:
        return data
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


_CHANGES: Sequence[Callable[[bytes, Random], bytes]] = (
    *(_insert, _replace, _delete, _repeat, _move, _end, _flip),
)


def _changed_document(data: bytes, draw: Random) -> bytes | None:
    """The JSON or YAML with some of its values changed; None if it is neither."""
    document, write = _document(data)
    if not isinstance(document, dict | list):
        return None
    try:
        for _ in range(draw.randint(1, _MOST_CHANGES)):
            _change_value(document, draw)
        return write(document).encode("utf-8", "surrogatepass")
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def _document(data: bytes) -> tuple[Any, Callable[[Any], str]]:
    try:
        return json.loads(data), json.dumps
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.safe_load(data), _yaml_text
    except (ValueError, yaml.YAMLError, RecursionError, TypeError, AttributeError):
        return None, str


def _yaml_text(document: Any) -> str:
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    return text


def _change_value(document: Any, draw: Random) -> None:
    """Change something within a mapping or a list."""
    places = list(_places(document))
    if not places:
        return
    inside, key = draw.choice(places)
    kind = draw.randrange(6)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, dict):
        inside[str(draw.choice(ODD_VALUES))[:200]] = inside[key]
    elif kind == 2:
        other, other_key = draw.choice(places)
        inside[key] = deepcopy(other[other_key])
    elif kind == 3:
        inside[key] = [inside[key]] * draw.choice((1, 2, 30))
    elif kind == 4:
        for _ in range(draw.choice((1, 60, 400))):
            inside[key] = {"a": inside[key]} if draw.random() < 0.5 else [inside[key]]
    else:
        inside[key] = deepcopy(draw.choice(ODD_VALUES))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each mapping or list, once, with each of its keys or indices, all the way down."""
    found: list[tuple[Any, Any]] = []
    waiting, seen = [value], set()
    while waiting:
        inside = waiting.pop()
        if id(inside) in seen:  # Aliases of aliases would be billions.
            continue
        seen.add(id(inside))
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        for key in keys:
            found.append((inside, key))
            if isinstance(inside[key], dict | list):
                waiting.append(inside[key])
    return found
