"""Whatever stands in a log: decoding never fails, and counts each line once, by itself."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.formats import builtin, builtin_names
from exporter.formats.compile import Decoder
from exporter.formats.paths import Path, parse_path
from exporter.formats.spec import FormatSpec, paths_of
from exporter.record import Kinds, Outcome, Record
from tests.formats.samples import SAMPLES

quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

TEXTS = st.sampled_from(
    [
        *("", "-", "200", "499", "0", "-1", "12", "1e400", "2603ms", "1.5s", "7,8", "-, 0.120"),
        *("0.1 : 0.2", "nan", "inf", "1_000", "gpt-4o", "success", "failure", "stream", "true"),
        *("2026-01-31T23:29:30.123Z", "2026-07-08T21:17:12.5", "21/Mar/2025:04:28:03 +0000"),
        *("1795403330.0075", "1795403330007", "99999-01-01", "ai_chat", "llm", "request", "DC"),
        *('{"model":"m","input_token":"5"}', '{"model":', "[]", "\ud83d", "\0", "x" * 300, "é"),
    ]
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 0.0, -1, 200, 429, 499, 12, 2**53, 2**63, 10**30, 10**400]),
    st.floats(),
    st.integers(-10, 10**12),
)
ODD = st.sampled_from([None, [], {}, [1, {"a": 2}], {"": None}])
BOOLEANS = st.booleans()
# Python holds true and 1 for the same; no gateway writes both in one place.
SCALARS = st.sampled_from([st.one_of(TEXTS, NUMBERS, ODD), st.one_of(TEXTS, BOOLEANS, ODD)])


def places(spec: FormatSpec) -> list[Path]:
    """Where the mapping looks for something."""
    found = []
    for _, text in paths_of(spec, ()):
        path = (text,) if spec.has_flat_paths else parse_path(text)
        roots = spec.roots.get(str(path[0]))
        found += [(*parse_path(root), *path[1:]) for root in roots] if roots else [path]
    return sorted(set(found), key=str)


def put(line: Any, path: Path, value: object) -> None:
    """Put a copy of the value at the path, and objects and lists on the way."""
    value = deepcopy(value)
    for step, following in zip(path, [*path[1:], None], strict=True):
        inside = {} if isinstance(following, str) else [] if following is not None else value
        if isinstance(step, int):
            if isinstance(line, list):
                line.append(inside)
                line = line[-1]
        elif isinstance(line, dict):
            if following is None or not isinstance(line.get(step), type(inside)):
                line[step] = inside
            line = line[step]


@st.composite
def lines_for(draw: st.DrawFn, name: str) -> list[bytes]:
    """A block of lines: whole ones in which some values are changed, and some that are none."""
    spec = builtin(name)
    where, values = st.sampled_from(places(spec)), draw(SCALARS)
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        line = SAMPLES[name]()
        if isinstance(line, dict):
            for path in draw(st.lists(where, max_size=6)):
                put(line, path, draw(values))
            text = json.dumps(line).encode()
        else:
            text = draw(changed(line)).encode("utf-8", "replace")
        kind = draw(st.sampled_from("wwwwwwtb"))
        lines.append({"w": text, "t": text[: len(text) // 2], "b": draw(st.binary())}[kind])
    return [part for line in lines for part in line.split(b"\n")]


@st.composite
def changed(draw: st.DrawFn, line: str) -> str:
    """The line with some of its words changed."""
    words = re.split(r"([ =\"])", line)
    for place in draw(st.lists(st.integers(0, len(words) - 1), max_size=4)):
        words[place] = draw(TEXTS)
    return "".join(words)


def read(decoder: Decoder, data: bytes) -> tuple[list[Record], int, dict[str, int]]:
    """The records, how many lines were skipped, and how many rejected for which reason."""
    decoded = decoder.decode(data)
    records = list(decoded.batch.records())
    assert decoded.lines == len(records) + decoded.skipped + decoded.rejected.total()
    assert decoded.lines == sum(1 for line in data.split(b"\n") if is_line(line))
    return records, decoded.skipped, dict(decoded.rejected)


def check(record: Record) -> None:
    """What a record says can be true."""
    assert all(0 <= value < 1e11 for value in record if isinstance(value, float))
    assert 100 <= record.kind.status_code < 600
    texts = [record.request_id, record.trace_id, *map(str, record.kind)]
    assert all(text == text.encode().decode() for text in texts)
    if record.time_to_first_token is not None:
        assert record.kind.streamed
        assert record.kind.outcome is Outcome.SUCCESS
        assert record.time_to_first_token < (record.latency or 0)
    cached = (record.cached_input_tokens or 0) + (record.cache_creation_input_tokens or 0)
    assert cached <= (record.input_tokens or 0)
    assert (record.reasoning_output_tokens or 0) <= (record.output_tokens or 0)
    both = (record.input_tokens or 0) + (record.output_tokens or 0)
    assert both <= (record.total_tokens or 0)


def is_line(line: bytes) -> bool:
    """Whether there is more than padding."""
    return line.strip(b"\0 \t\r\v\f") not in (b"", b"\xef\xbb\xbf")


@pytest.mark.parametrize("name", builtin_names())
@quick
@given(data=st.data())
def test_a_block_decodes_to_what_its_lines_decode_to_one_by_one(
    name: str, data: st.DataObject
) -> None:
    spec = builtin(name)
    lines = data.draw(lines_for(name))
    whole = read(Decoder(spec, Kinds(), tuple(spec.attributes)), b"\n".join(lines) + b"\n")

    for record in whole[0]:
        check(record)
    single = Decoder(spec, Kinds(), tuple(spec.attributes))
    parts = [read(single, line + b"\n") for line in lines]
    rejected: dict[str, int] = {}
    for _, _, reasons in parts:
        for reason, count in reasons.items():
            rejected[reason] = rejected.get(reason, 0) + count
    assert whole == (
        [record for records, _, _ in parts for record in records],
        sum(skipped for _, skipped, _ in parts),
        rejected,
    )


@pytest.mark.parametrize("name", builtin_names())
@quick
@given(block=st.binary(max_size=400))
def test_no_bytes_make_decoding_fail(name: str, block: bytes) -> None:
    read(Decoder(builtin(name), Kinds()), block + b"\n")
