"""Lines of logs: every format's decoder, envelopes around them, and bodies that are pushed.

A broken line takes no good neighbour with it, and nothing that is said of it holds a prompt.
"""

import json
import os
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from exporter.formats import builtin, builtin_names
from exporter.formats.compile import Decoder
from exporter.formats.lines import not_blank
from exporter.prices import Price, Prices
from exporter.record import Kinds, Record
from exporter.sources.ingest.bodies import blocks, json_lines
from exporter.sources.ingest.repeats import Repeats, digest_of, digests_of
from exporter.sources.tail.envelope import Unwrapper
from exporter.sources.tail.joiner import Joiner
from exporter.sources.tail.metrics import TailMetrics
from exporter.tally import Tally
from exporter.vocabulary import INSTRUMENTS
from tests.formats.samples import SAMPLES
from tests.fuzz.mutation import PROMPT
from tests.fuzz.target import Target

CORPUS = "FUZZ_LINES"
"""Environment variable: a directory whose files' lines are seeds too, for whoever has real logs."""

LITELLM = Path(__file__).parents[1] / "data/litellm.jsonl"
STAMP = b"2026-01-01T11:29:11.123456789Z"
_SAMPLES_OF_A_FILE = 50
_LONGEST_SEED = 100_000
_PRICES = Prices([Price(("*",), "USD", (1e-6,) * 8)])


def _seeds(name: str) -> Sequence[bytes]:
    seeds = [_as_line(SAMPLES[name]())] if name in SAMPLES else []
    if name == "litellm":
        seeds += LITELLM.read_bytes().splitlines()[:10]
    return [*seeds, *_corpus()]


def _as_line(sample: object) -> bytes:
    text = sample if isinstance(sample, str) else json.dumps(sample)
    return text.replace("A secret?", PROMPT).replace("Not telling.", PROMPT).encode()


@cache
def _corpus() -> Sequence[bytes]:
    directory = os.environ.get(CORPUS)
    files = sorted(Path(directory).rglob("*")) if directory else []
    return [
        line
        for file in files
        if file.is_file()
        for line in file.read_bytes().splitlines()[:_SAMPLES_OF_A_FILE]
        if len(line) < _LONGEST_SEED
    ]


_kinds = Kinds()


@cache
def _decoder(name: str) -> Decoder:
    spec = builtin(name)
    return Decoder(spec, _kinds, tuple(spec.attributes))


@cache
def _good(name: str) -> tuple[bytes, Record]:
    """A line, and what it says."""
    line = _as_line(SAMPLES[name]())
    (record,) = _decoder(name).decode(line + b"\n").batch.records()
    return line, record


def _feed_lines(name: str, data: bytes) -> None:
    """The data between two good lines."""
    decoder = _decoder(name)
    line, expected = _good(name)
    _kinds.clear()
    block = b"%b\n%b\n%b\n" % (line, data, line)
    decoded = decoder.decode(block)
    records = list(decoded.batch.records())
    assert records[0] == records[-1] == expected
    assert decoded.lines == len(records) + decoded.skipped + decoded.rejected.total()
    assert decoded.lines == sum(1 for _ in not_blank(block))
    tally = Tally(INSTRUMENTS)
    tally.add(decoded.batch, _PRICES.estimate(decoded.batch))
    for broken in not_blank(data):
        if decoder.decode(broken + b"\n").rejected:
            assert PROMPT not in decoder.explain(broken)


def _lines(name: str) -> Target:
    return Target(f"lines of {name}", partial(_feed_lines, name), partial(_seeds, name))


def _enveloped() -> Sequence[bytes]:
    """A log of two records, one of them in pieces, in each envelope."""
    rows = {"stdout F": b'{"a":1}', "stdout P": b'{"b":', "stderr F": b"other", "stdout F ": b"2}"}
    cri = b"".join(b"%b %b %b\n" % (STAMP, tag.encode(), text) for tag, text in rows.items())
    pieces = [("stdout", '{"a":1}\n'), ("stdout", '{"b":'), ("stderr", "o\n"), ("stdout", "2}\n")]
    docker = "".join(
        json.dumps({"log": text, "stream": stream, "time": STAMP.decode()}, separators=(",", ":"))
        + "\n"
        for stream, text in pieces
    )
    return [cri, docker.encode()]


def _unwrapped(setting: str, parts: Sequence[bytes]) -> bytes:
    joiner = Joiner(1 << 20, TailMetrics(CollectorRegistry()).of("log"))
    unwrapper = Unwrapper(setting, joiner)
    return b"".join(unwrapper.unwrap(part) for part in parts if part)


def _feed_envelopes(data: bytes) -> None:
    """What comes off a block is the same as what comes off its lines, one by one."""
    lines = (data if data.endswith(b"\n") else data + b"\n").splitlines(keepends=True)
    lines = [line for line in b"".join(lines).split(b"\n") if line]
    ended = [line + b"\n" for line in lines]
    for setting in ("none", "cri", "docker"):
        assert _unwrapped(setting, [b"".join(ended)]) == _unwrapped(setting, ended)
    good = b'%b stdout F {"good":1}\n' % STAMP
    out = _unwrapped("auto", [good, *ended, good])
    assert out.startswith(b'{"good":1}\n')


def _bodies() -> Sequence[bytes]:
    line = SAMPLES["records"]()
    several = [{**line, "request_id": f"r-{number}"} for number in range(3)]
    return [
        json.dumps(line).encode(),
        json.dumps([*several, None], indent=1).encode(),
        b"".join(json.dumps(one).encode() + b"\n" for one in several),
    ]


def _feed_bodies(data: bytes) -> None:
    """A body twice: what has an id counts once."""
    decoder = _decoder("records")
    repeats = Repeats(600, {})
    new: list[int] = []
    for _ in range(2):
        digests = [
            digest
            for block in json_lines(data)
            for digest in digests_of(decoder.decode(_whole(block)).batch)
        ]
        new.append(sum(digest is not None and repeats.add(digest) for digest in digests))
    assert new[1] == 0
    assert set(repeats.positions()) or not new[0]
    assert b"".join(blocks(data)).rstrip(b"\n") == data.rstrip(b"\n")
    repeats.add(digest_of("push", data[:100].decode("utf-8", "surrogateescape")))


def _whole(block: bytes) -> bytes:
    assert block.endswith(b"\n")
    return block


TARGETS = (
    *map(_lines, [name for name in builtin_names() if name in SAMPLES]),
    Target("envelopes", _feed_envelopes, _enveloped),
    Target("pushed bodies", _feed_bodies, _bodies),
)
