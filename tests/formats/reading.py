"""Reading lines as a source would, for tests."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

from exporter.formats import builtin
from exporter.formats.compile import Decoded, Decoder
from exporter.formats.spec import FormatSpec
from exporter.record import Kinds, Record
from exporter.yaml_tree import parse

Line = str | bytes | Mapping[str, Any]


def mapping(text: str) -> FormatSpec:
    """A mapping as a user writes it."""
    return FormatSpec.model_validate(parse(text).value)


def data(*lines: Line) -> bytes:
    """The lines as they stand in a file; what is no text yet is written as JSON."""
    written = [json.dumps(line) if isinstance(line, Mapping) else line for line in lines]
    return b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in written)


def decode(
    spec: str | FormatSpec, *lines: Line, attributes: Sequence[str] = (), zone: tzinfo = UTC
) -> Decoded:
    """What a fresh decoder makes of the lines, as one block."""
    format_ = builtin(spec) if isinstance(spec, str) else spec
    return Decoder(format_, Kinds(), attributes, zone).decode(data(*lines))


def records(
    spec: str | FormatSpec, *lines: Line, attributes: Sequence[str] = (), zone: tzinfo = UTC
) -> list[Record]:
    """The records in the lines, none of which may be skipped or rejected."""
    decoded = decode(spec, *lines, attributes=attributes, zone=zone)
    assert (decoded.skipped, decoded.rejected) == (0, {})
    return list(decoded.batch.records())


def record(
    spec: str | FormatSpec, line: Line, attributes: Sequence[str] = (), zone: tzinfo = UTC
) -> Record:
    """The record in the one line."""
    (found,) = records(spec, line, attributes=attributes, zone=zone)
    return found


def named(record: Record, *names: str) -> dict[str, Any]:
    """Those values of a record or its kind."""
    return {
        name: getattr(record, name) if hasattr(record, name) else getattr(record.kind, name)
        for name in names
    }
