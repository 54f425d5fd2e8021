"""`formats list`, `formats show`, `formats test`: from an unknown log to a mapping that fits."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from itertools import islice
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from exporter.config import SourceConfig, load_config
from exporter.errors import ExporterError
from exporter.formats import resolve
from exporter.formats.inspection import describe, inspect, table
from exporter.formats.library import builtin_names, builtin_text
from exporter.formats.spec import FormatSpec
from exporter.mistakes import unknown
from exporter.sources.tail import TailMetrics, TailSettings, TailSource


@click.group(name="formats")
def formats() -> None:
    """Log formats: what there is, and how a mapping of your own fares."""


@formats.command(name="list")
def list_() -> None:
    """List the built-in formats."""
    for format_ in describe():
        click.echo(f"{format_.name:20} {format_.text}")
        if format_.attributes:
            click.echo(f"{'':20} attributes: {', '.join(format_.attributes)}")


@formats.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the mapping of a built-in format, to begin one of your own with."""
    _check(name, {})
    click.echo(builtin_text(name), nl=False)


@formats.command(name="test")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--lines", "limit", default=20, show_default=True, help="How many lines to look at.")
@click.option(
    "--config.file",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration with formats of your own.",
)
def test(name: str, file: Path, limit: int, config_file: Path | None) -> None:
    """Show the records that a format makes of a log's first lines.

    Lines that are rejected come with their reason; nothing of a prompt or an answer is ever shown.
    Attributes are those that the configuration's labels ask for, and the time zone that of the
    source with this format. Where no line gives a record and some are rejected, it ends with
    status 1.
    """
    configured: Mapping[str, FormatSpec] = {}
    attributes: Sequence[str] = ()
    zone: tzinfo = UTC
    if config_file:
        config = load_config(config_file)
        configured, attributes = config.formats, config.labels.attributes
        zone = _zone_of(name, config.sources)
    _check(name, configured)
    read = inspect(resolve(name, configured), _lines(file), attributes, zone)
    inspected = [*islice(read, limit)]
    for line in table(inspected, attributes):
        click.echo(line)
    if any(each.rejected for each in inspected) and not any(each.record for each in inspected):
        sys.exit(1)


def _check(name: str, configured: Mapping[str, FormatSpec]) -> None:
    known = {*builtin_names(), *configured}
    if name not in known:
        raise ExporterError(unknown(f'format "{name}"', name, known))


def _zone_of(name: str, sources: Iterable[SourceConfig]) -> tzinfo:
    """Of times that name none; UTC where sources with this format differ, or there is none."""
    tails = [source.tail for source in sources if source.tail is not None]
    zones = {tail.timezone for tail in tails if tail.format == name}
    return zones.pop() if len(zones) == 1 else UTC


def _lines(file: Path) -> Iterator[bytes]:
    """The log's lines as the daemon reads them: decompressed, a container's envelope taken off."""
    source = TailSource(
        "test", TailSettings(paths=(str(file),)), {}, TailMetrics(CollectorRegistry())
    )
    try:
        for block in source.read(1 << 30):
            yield from block.split(b"\n")[:-1]
    finally:
        source.close()
