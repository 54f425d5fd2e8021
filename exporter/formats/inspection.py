"""What a person sees of formats: which there are, and what a mapping makes of some lines.

Of a line nothing is shown but the names and figures of its record, and of a rejected one only the
reason.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from exporter.formats import builtin
from exporter.formats.compile import Decoder
from exporter.formats.library import builtin_names
from exporter.formats.lines import not_blank
from exporter.formats.spec import FormatSpec
from exporter.record import Kinds, Record

WIDEST = 40
"""Columns on the screen that a name may take."""


@dataclass(frozen=True, slots=True)
class Description:
    """A built-in format.

    Attributes:
        attributes: names that `labels.attributes` may ask for.
    """

    name: str
    text: str
    attributes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Inspected:
    """A line that is not blank: a record, no model request (neither), or rejected for a reason.

    Attributes:
        number: of the line, from 1.
        hint: what is wrong with a rejected line.
    """

    number: int
    record: Record | None = None
    rejected: str | None = None
    hint: str = ""


def describe() -> list[Description]:
    """The built-in formats, by name."""
    specs = [(name, builtin(name)) for name in builtin_names()]
    return [Description(name, spec.description, tuple(spec.attributes)) for name, spec in specs]


def inspect(
    spec: FormatSpec,
    lines: Iterable[bytes],
    attributes: Sequence[str] = (),
    zone: tzinfo = UTC,
) -> Iterator[Inspected]:
    """What a mapping makes of each line that is not blank.

    Args:
        zone: of times that name none.
    """
    decoder = Decoder(spec, Kinds(), attributes, zone)
    for number, line in enumerate(lines, start=1):
        for content in not_blank(line):
            decoded = decoder.decode(content + b"\n")
            record = next(decoded.batch.records(), None)
            rejected = next(iter(decoded.rejected), None)
            hint = decoder.explain(content) if rejected else ""
            yield Inspected(number, record, rejected, hint)


_HEADINGS = (
    *("line", "time", "model", "provider", "operation", "status", "error", "streamed"),
    *("latency", "TTFT", "in", "out", "cached", "reasoning", "cost", "request id"),
)
_FIGURES = range(8, 15)


def table(inspected: Iterable[Inspected], attributes: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a table with one row a record, then what was rejected, then the sums."""
    outcomes: Counter[str] = Counter()
    rows = [[*_HEADINGS, *attributes]]
    complaints = []
    for line in inspected:
        if line.record is not None:
            outcomes["record(s)"] += 1
            rows.append([str(line.number), *_cells(line.record)])
        elif line.rejected is not None:
            outcomes["rejected"] += 1
            complaints.append(f"line {line.number}: {line.rejected}: {line.hint}")
        else:
            outcomes["skipped"] += 1
    if outcomes["record(s)"]:
        yield from _aligned(rows)
    yield from complaints
    sums = ", ".join(f"{outcomes[name]} {name}" for name in ("record(s)", "skipped", "rejected"))
    yield f"{outcomes.total()} line(s): {sums}"


def _cells(record: Record) -> list[str]:
    kind = record.kind
    cost = "" if record.cost is None else f"{record.cost:.6f}".rstrip("0").rstrip(".")
    return [
        _time(record.start_time),
        printable(kind.model),
        printable(kind.provider),
        printable(kind.operation),
        str(kind.status_code),
        printable(kind.error_type),
        "cache" if kind.cache_hit else "yes" if kind.streamed else "no",
        _seconds(record.latency),
        _seconds(record.time_to_first_token),
        _count(record.input_tokens),
        _count(record.output_tokens),
        _count(record.cached_input_tokens),
        _count(record.reasoning_output_tokens),
        f"{cost} {printable(kind.currency)}" if cost else "",
        printable(record.request_id),
        *map(printable, kind.attributes),
    ]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat("T", "milliseconds")[:23] + "Z"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def _count(count: float | None) -> str:
    return "" if count is None else f"{count:.0f}"


def printable(name: str) -> str:
    """A name that may be a client's text, as one that a terminal shows and does not obey."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )
    while _width(shown) > WIDEST:
        shown = shown[: -2 if shown.endswith("…") else -1] + "…"
    return shown


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [[cell or "-" for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = []
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(cell))
            padded.append(space + cell if number in _FIGURES else cell + space)
        yield "  ".join(padded).rstrip()


def _width(text: str) -> int:
    """How many columns a text takes on the screen: East Asian characters take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
