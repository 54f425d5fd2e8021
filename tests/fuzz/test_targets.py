"""Nothing that is read makes a target fail; what once did stands here by itself."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import lines, proxied, queries, written
from tests.fuzz.mutation import mutated
from tests.fuzz.profile import profile
from tests.fuzz.target import Target

TARGETS = (*lines.TARGETS, *proxied.TARGETS, *written.TARGETS, *queries.TARGETS)
NAMED = {target.name: target for target in TARGETS}


def seed(name: str) -> bytes:
    """The first good input of a target."""
    return NAMED[name].seeds()[0]


DEEP = b"[" * 3000
FINDS = {
    "a root of a format that is a key of the line too": (
        "configuration",
        (
            b"sources: [{name: a, tail: {paths: [/a], format: own}}]\n"
            b"formats: {own: {roots: {usage: [answer.usage, usage]},"
            b" fields: {status_code: status, input_tokens: usage.in}}}\n"
        ),
    ),
    "a push that is nested too deeply": ("pushed bodies", DEEP),
    "a pushed object that is nested too deeply": ("pushed bodies", b'{"model":' + DEEP),
    "an idempotency key that is no UTF-8": ("pushed bodies", b"k\xc3y"),
    "an answer that is nested too deeply": ("answers", b'{"x":' + DEEP),
    "an answer whose model is no UTF-8": ("answers", b'{"model":"q\xad"}'),
    "an event whose model is no UTF-8": ("events", b'data: {"model":"q\xad"}\n\n'),
    "an answer that lasted for ever": ("answers", b'{"duration":"inf"}'),
    "an answer of more tokens than there are": ("answers", b'{"usage":{"prompt_tokens":1e308}}'),
    "a request whose model is no UTF-8": ("requests", b'{"model":"q\xad"}'),
    "a request that is nested too deeply": ("requests", b'{"x":' + DEEP),
    "a message that is nested too deeply": ("sessions", b'{"x":' + DEEP),
    "an import that is nested too deeply": ("import of azure", DEEP),
    "an import with a day that there is none of": (
        "import of cloudmonitor2",
        seed("import of cloudmonitor2").replace(b'"activeDays": [1', b'"activeDays": [99'),
    ),
    "an import with a time that there is none of": (
        "import of cloudmonitor2",
        seed("import of cloudmonitor2").replace(b'"22:00"', b'"30:00"'),
    ),
    "a mistake behind a carriage return that ends a line": ("web-config", b"a:\r  \rb: 1\r"),
    "an import whose title looks like a number": (
        "import of azure",
        seed("import of azure").replace(b'"first token"', b'"1e308"'),
    ),
}


@pytest.mark.parametrize("target", TARGETS, ids=str)
@profile
@given(data=st.data(), draw=st.randoms(use_true_random=False))
def test_nothing_makes_it_fail(target: Target, data: st.DataObject, draw: Random) -> None:
    target.feed(mutated(data.draw(st.sampled_from(target.seeds())), draw))


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_good_inputs_are_good(target: Target) -> None:
    assert target.seeds()
    for good in target.seeds():
        target.feed(good)


@pytest.mark.parametrize("find", FINDS)
def test_what_once_failed(find: str) -> None:
    name, data = FINDS[find]
    NAMED[name].feed(data)
