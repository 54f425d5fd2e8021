"""`backfill`: the command that reads old logs."""

import sys
import time
from datetime import datetime
from pathlib import Path

import click


@click.command()
@click.option(
    "--config.file",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="Configuration.",
)
@click.option("--source", required=True, help="Source whose format the files have, by its name.")
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("backfill"),
    show_default=True,
    help="Directory for OpenMetrics, a file a day, that promtool makes blocks of.",
)
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    help="Leave out requests that ended from then on; default: when the daemon's state began.",
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
def backfill(
    config_file: Path,
    source: str,
    metrics: Path,
    until: datetime | None,
    files: tuple[Path, ...],
) -> None:
    """Read old logs (plain or gzip) into the request log, and into metrics of the past.

    The daemon may be running; what it counts is not touched. Interrupted, it goes on when it is run
    again with the same files. Files of a time that an earlier run has passed are refused.
    """
    from exporter.backfill.run import Task, daemon_began, run
    from exporter.config import load_config

    config = load_config(config_file)
    tails = {one.name: one.tail for one in config.sources if one.tail}
    if source not in tails:
        raise click.UsageError(f"--source: expected one of {', '.join(tails) or 'none: no tail'}")
    end = until.timestamp() if until else daemon_began(config) or time.time()
    paths = sorted({path.resolve() for path in files})
    size = sum(path.stat().st_size for path in paths)
    with click.progressbar(
        length=size, label="Reading", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        report = run(config, Task(source, tails[source], paths, metrics, end), bar.update)
    click.echo(f"{report.requests} requests of {report.lines} lines")
    for count, what in (
        (report.skipped, "lines are no model request"),
        (report.rejected, "lines cannot be read: see `formats test`"),
        (report.untimed, "requests name no time, and are left out"),
        (report.recent, "requests are left out, for the daemon counts them itself (--until)"),
        (report.logged, "requests are logged already, or may be (no id); the metrics have them"),
        (report.expired, "requests are older than the request log keeps; the metrics have them"),
    ):
        if count:
            click.echo(f"{count} {what}")
    if not config.request_log.enabled:
        click.echo("none gets a row, for request_log.enabled is false; the metrics have them")
    click.echo(
        f"For each file of {metrics}: promtool tsdb create-blocks-from openmetrics FILE DATA"
    )
