"""Requests as files: CSV, JSON Lines, Parquet; made a block at a time, in constant memory."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice, repeat
from typing import Any

import msgspec

from exporter.errors import ExporterError
from exporter.requestlog.table import Named, Numbers, Table, Texts, Unknown, timestamps

ROW_GROUP_BLOCKS = 32
"""Blocks of a row group in Parquet, 65,536 rows of them at most."""

_TEXTS = frozenset(
    {
        *("request_id", "model", "error_type", "response_model", "provider", "operation"),
        *("finish_reason", "currency", "estimate_currency", "trace_id", "source"),
    }
)
"""Fields that hold what clients and gateways wrote."""

_FORMULA_STARTS = frozenset("=+-@\t\r\n\0＝＋－＠")  # noqa: RUF001 - full-width ones count too.

_QUOTED_MARKS = '",\r\n'
_QUOTED = re.compile(f"[{_QUOTED_MARKS}]")
_MOST_REMEMBERED = 1 << 16
_LONGEST_TRAILER = 64
"""Bytes, of any format's: so much of an export is held back until its end is known."""

_encode = msgspec.json.Encoder().encode


class IncompleteExportError(ExporterError):
    """An export that was received lacks its end."""


class FormatUnavailableError(ExporterError):
    """What a format needs is not installed."""


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A way of writing requests.

    Attributes:
        media_type: of the file.
        chunks: from tables and the fields wanted to the file's bytes, one chunk after another.
        trailer: a last line that tells how many requests there are, without a format for it "".
        ending: how a whole file with its trailer ends; group 1 is the trailer.
    """

    media_type: str
    chunks: Callable[[Iterable[Table], Sequence[str]], Iterator[bytes]]
    trailer: Callable[[int], str]
    ending: re.Pattern[bytes]

    def with_trailer(self, tables: Iterable[Table], fields: Sequence[str]) -> Iterator[bytes]:
        """The same, with the trailer."""
        counted = CountedTables(tables)
        yield from self.chunks(counted, fields)
        yield self.trailer(counted.rows).encode()

    def without_trailer(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """What `with_trailer` made, without the trailer.

        Raises:
            IncompleteExportError: it has no trailer; all that there was has been given out.
        """
        held = b""
        for chunk in chunks:
            held += chunk
            yield held[:-_LONGEST_TRAILER]
            held = held[-_LONGEST_TRAILER:]
        end = self.ending.search(held)
        yield held if end is None else held[: end.start(1)]
        if end is None:
            raise IncompleteExportError("the export broke off before its end")


@dataclass
class CountedTables:
    """Tables, counted as they go through.

    Attributes:
        rows: of those that have.
    """

    tables: Iterable[Table]
    rows: int = 0

    def __iter__(self) -> Iterator[Table]:
        for table in self.tables:
            self.rows += len(table)
            yield table


def _json_lines(tables: Iterable[Table], fields: Sequence[str]) -> Iterator[bytes]:
    row = msgspec.defstruct("Row", list(fields), gc=False)
    encoder = msgspec.json.Encoder()
    for table in tables:
        yield encoder.encode_lines(list(islice(map(row, *map(table.cells, fields)), len(table))))


def _csv(tables: Iterable[Table], fields: Sequence[str], *, raw: bool = False) -> Iterator[bytes]:
    """RFC 4180, with a header line."""
    cells = _Cells(raw)
    yield (",".join(fields) + "\r\n").encode()
    for table in tables:
        rows = islice(map(",".join, zip(*cells.columns(table, fields), strict=False)), len(table))
        yield ("\r\n".join(rows) + "\r\n").encode("utf-8", "replace")


class _Cells(dict[str | None, str]):
    """Texts as cells, remembered by what they were: names come again and again.

    Unless they are wanted raw, a spreadsheet takes them for texts and not for formulas (CWE-1236).
    """

    def __init__(self, raw: bool) -> None:
        super().__init__({None: ""})
        self._raw = raw

    def __missing__(self, text: str) -> str:
        cell = text if self._raw or text[:1] not in _FORMULA_STARTS else f"'{text}"
        if _QUOTED.search(cell):
            cell = '"' + cell.replace('"', '""') + '"'
        if len(self) < _MOST_REMEMBERED:
            self[text] = cell
        return cell

    def columns(self, table: Table, fields: Sequence[str]) -> Iterator[Iterable[str]]:
        """The fields' cells; fields beside each other that differ together are one column."""
        for _, group in groupby(fields, key=partial(_numbering, table)):
            first, *others = group
            if first == "start_time":
                yield timestamps(table.starts)
                continue
            match table.columns[first]:
                case Unknown():
                    yield repeat("")
                case Texts(texts):
                    yield self._texts(texts)
                case Numbers() as column:
                    # As JSON because its encoder writes numbers several times as fast.
                    yield _encode(column.cells).decode()[1:-1].replace("null", "").split(",")
                case Named(values, numbers):
                    beside = [table.columns[name] for name in others]
                    named = [values, *(one.values for one in beside if isinstance(one, Named))]
                    cells = zip(*(map(self._value, one) for one in named), strict=True)
                    yield Named(list(map(",".join, cells)), numbers).cells

    def _value(self, value: object) -> str:
        match value:
            case None | str():
                return self[value]
            case dict():
                return self[_encode(value).decode() if value else None]
        return str(value)

    def _texts(self, texts: Sequence[str | None]) -> Iterable[str]:
        """Those are all different, and hardly ever in need of anything."""
        cells = [text or "" for text in texts]
        together = "".join(cells)
        if any(mark in together for mark in _QUOTED_MARKS) or not _FORMULA_STARTS.isdisjoint(
            {text[:1] for text in cells}
        ):
            return [self[text or None] for text in cells]
        return cells


def _numbering(table: Table, field: str) -> int | str:
    column = table.columns.get(field)
    return id(column.numbers) if isinstance(column, Named) else field


def _parquet(tables: Iterable[Table], fields: Sequence[str]) -> Iterator[bytes]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise FormatUnavailableError(
            "Parquet needs pyarrow: pip install 'llm-gateway-exporter[parquet]'"
        ) from error
    schema = pa.schema([(name, _arrow_type(pa, name)) for name in fields])
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        source = iter(tables)
        while group := list(islice(source, ROW_GROUP_BLOCKS)):
            batches = [
                pa.record_batch(
                    [_arrow(pa, table, field.name, field.type) for field in schema], schema=schema
                )
                for table in group
            ]
            writer.write_table(pa.Table.from_batches(batches))
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """A file that is taken away while it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _arrow_type(pa: Any, field: str) -> Any:
    if field == "start_time":
        return pa.timestamp("us", tz="UTC")
    if field == "attributes":
        return pa.map_(pa.string(), pa.string())
    if field in _TEXTS or field == "key":
        return pa.string()
    if field in ("streamed", "cache_hit"):
        return pa.bool_()
    if field == "status_code":
        return pa.int16()
    if field.endswith("_ms") or field in ("seconds", "cost", "estimated_cost"):
        return pa.float64()
    return pa.int64()


def _arrow(pa: Any, table: Table, field: str, type_: Any) -> Any:
    if field == "start_time":
        return pa.array(table.starts).cast(type_)
    match table.columns[field]:
        case Unknown():
            return pa.nulls(len(table), type_)
        case Texts(texts):
            return pa.array(texts, type_)
        case Numbers(values, is_unknown):
            return pa.array(values, mask=is_unknown).cast(type_)
        case Named(values, numbers):
            if field == "attributes":
                values = [list(attributes.items()) for attributes in values]
            return pa.array(values, type_).take(pa.array(numbers))


EXPORT_FORMATS = {
    "csv": ExportFormat(
        "text/csv; charset=utf-8; header=present",
        _csv,
        "#rows={}\r\n".format,
        re.compile(rb"\n(#rows=\d+\r\n)\Z"),
    ),
    "jsonl": ExportFormat(
        "application/x-ndjson",
        _json_lines,
        '{{"rows":{}}}\n'.format,
        re.compile(rb'(?:\A|\n)(\{"rows":\d+\}\n)\Z'),
    ),
    "parquet": ExportFormat(
        "application/vnd.apache.parquet", _parquet, lambda _: "", re.compile(rb"PAR1()\Z")
    ),
}
"""By the suffix of their files."""

RAW_CSV = replace(
    EXPORT_FORMATS["csv"], chunks=lambda tables, fields: _csv(tables, fields, raw=True)
)
"""CSV with each value as it is, for machines; a spreadsheet may run it."""
