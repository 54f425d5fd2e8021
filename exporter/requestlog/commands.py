"""`requests`: the request log on the command line, of a daemon or of its files."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from exporter.requestlog.exports import EXPORT_FORMATS
from exporter.requestlog.request import FIELDS, LoggedRequest

if TYPE_CHECKING:
    from exporter.web.requests.access import Access

_COLUMNS = (
    *("request_id", "start_time", "model", "total_tokens", "time_to_first_token_ms", "latency_ms"),
    *("status_code", "error_type"),
)


def _log_options(command: Callable[..., None]) -> Callable[..., None]:
    """Where the log is."""
    for option in (
        click.option("--url", help="Of a running daemon; left out, its files are read."),
        click.option(
            "--config.file",
            "config_file",
            type=click.Path(path_type=Path),
            default=Path("config.yaml"),
            show_default=True,
            help="Configuration, which names the state directory.",
        ),
    ):
        command = option(command)
    return command


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """The API's filters."""
    for option in (
        click.option("--id", help="Request id, on any day; other filters do not count then."),
        click.option("--min-latency-ms", help="Least latency, milliseconds."),
        click.option("--streamed", type=click.Choice(["true", "false"])),
        click.option(
            "--attribute",
            "attributes",
            multiple=True,
            metavar="NAME=VALUE",
            help="An extra attribute; options may be given several times.",
        ),
        click.option("--source", multiple=True),
        click.option("--error-type", multiple=True),
        click.option("--operation", multiple=True),
        click.option("--provider", multiple=True),
        click.option("--status", multiple=True, help="A code, 4xx, error or success."),
        click.option("--model", multiple=True, help="That was asked for."),
        click.option("--to", help="Latest start, RFC 3339."),
        click.option("--from", help="Earliest start, RFC 3339."),
        click.option("--since", help="Earliest start, as a duration before now: 1h, 7d."),
    ):
        command = option(command)
    return command


@click.group(name="requests")
def requests() -> None:
    """The request log: list, show and export what went through the gateway."""


@requests.command(name="list")
@_log_options
@_filter_options
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def list_command(
    config_file: Path, url: str | None, limit: int, as_json: bool, **filters: Any
) -> None:
    """List the newest requests that match."""
    page = _log(config_file, url).page(_parameters(filters), limit)
    if as_json:
        for request in page.items:
            click.echo(msgspec.json.encode(request))
        return
    click.echo(_table(page.items), nl=False)
    if page.searched_to is not None and len(page.items) < limit:
        click.echo(f"Time was up: searched back to {page.searched_to}. Narrow --from.", err=True)


@requests.command()
@_log_options
@click.argument("request_id")
def show(config_file: Path, url: str | None, request_id: str) -> None:
    """Show all of one request, by its id or key, as JSON."""
    found = _log(config_file, url).get(request_id)
    if found is None:
        click.echo("No request that is kept has this id.", err=True)
        sys.exit(1)
    click.echo(msgspec.json.format(msgspec.json.encode(found)))


@requests.command()
@_log_options
@_filter_options
@click.option("--format", "format_name", type=click.Choice(list(EXPORT_FORMATS)), default="csv")
@click.option("--column", "columns", multiple=True, type=click.Choice(FIELDS), help="Only these.")
@click.option("--raw", is_flag=True, help="CSV: values as they are, which may be formulas.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File, which appears when it is whole; left out, standard output.",
)
def export(
    config_file: Path,
    url: str | None,
    format_name: str,
    columns: tuple[str, ...],
    raw: bool,
    output: Path | None,
    **filters: Any,
) -> None:
    """Export all requests that match."""
    log, parameters = _log(config_file, url), _parameters(filters)
    total = log.count(parameters) if output and sys.stderr.isatty() else None
    chunks = log.export(parameters, format_name, tuple(dict.fromkeys(columns)) or FIELDS, raw)
    with (
        _file(output) as file,
        click.progressbar(
            length=total or 1, label="Requests", file=sys.stderr, hidden=total is None
        ) as bar,
    ):
        for chunk, rows in chunks:
            file.write(chunk)
            bar.update(rows - bar.pos)


@contextmanager
def _file(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("wb") as file:
        yield file
    unfinished.rename(path)


def _log(config_file: Path, url: str | None) -> "Access":
    from exporter.config import load_config
    from exporter.web.requests.access import FilesAccess, UrlAccess

    return UrlAccess(url) if url else FilesAccess(load_config(config_file).request_log_dir)


def _parameters(filters: dict[str, Any]) -> list[tuple[str, str]]:
    """The options as parameters of the API.

    Raises:
        click.UsageError: an option's value is no such thing.
    """
    from datetime import UTC, datetime, timedelta

    from exporter.quantities import Duration

    found: list[tuple[str, str]] = []
    if since := filters.pop("since"):
        try:
            start = datetime.now(UTC) - timedelta(seconds=Duration(since))
        except ValueError as error:
            raise click.UsageError(f"--since: {error}") from error
        found.append(("from", start.isoformat()))
    for pair in filters.pop("attributes"):
        name, is_pair, value = pair.partition("=")
        if not is_pair:
            raise click.UsageError("--attribute: expected NAME=VALUE")
        found.append((f"attribute.{name}", value))
    for name, value in filters.items():
        values = value if isinstance(value, tuple) else (value,) if value else ()
        found += [(name, one) for one in values]
    return found


def _table(requests: Sequence[LoggedRequest]) -> str:
    """Aligned columns; characters that a terminal would obey are escaped."""
    rows = [[name.removesuffix("_ms").replace("_", " ").upper() for name in _COLUMNS]]
    for request in requests:
        rows.append([_cell(name, getattr(request, name)) for name in _COLUMNS])  # noqa: PERF401
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    text = f"{value} ms" if name.endswith("_ms") else str(value)
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )
