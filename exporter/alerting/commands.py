"""`alerts …`: the commands about alert definitions."""

import sys
import time
from pathlib import Path

import click

from exporter.alerting import retention
from exporter.alerting.alert import Alert
from exporter.alerting.backtest import backtest, report
from exporter.alerting.definitions import load_definitions
from exporter.alerting.explain import explained, values_now
from exporter.alerting.importers import KINDS, Hints, imported
from exporter.alerting.metrics import METRICS
from exporter.alerting.outputs import MADE_BY, files_of
from exporter.alerting.picture import picture
from exporter.alerting.prometheus import Prometheus
from exporter.alerting.slo import Slo
from exporter.mistakes import unknown

DEFINITIONS = Path("rules/alerts.yaml")

_definitions = click.argument(
    "definitions", type=click.Path(path_type=Path), default=DEFINITIONS, required=False
)


@click.group(name="alerts")
def alerts() -> None:
    """Prometheus rules and Alertmanager routes from alert definitions."""


@alerts.command()
@_definitions
def check(definitions: Path) -> None:
    """Check definitions; all of their mistakes are shown at once."""
    found = load_definitions(definitions)
    click.echo(f"{definitions}: valid, {len(found.alerts)} alerts and {len(found.slos)} SLOs")
    for remark in retention.remarks(found):
        click.echo(remark)


@alerts.command()
@_definitions
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the files; default: `generated` beside the definitions.",
)
@click.option("--check", "only_check", is_flag=True, help="Fail when a file is stale; write none.")
def build(definitions: Path, out: Path | None, only_check: bool) -> None:
    """Write rules, their unit tests and Alertmanager's configuration."""
    files = files_of(load_definitions(definitions))
    directory = out or definitions.parent / "generated"
    there = _made_before(directory)
    stale = sorted(name for name in {*there, *files} if there.get(name) != files.get(name))
    if only_check:
        for name in stale:
            click.echo(f"{directory / name}: stale; run `alerts build`", err=True)
        sys.exit(1 if stale else 0)
    for name in stale:
        text = files.get(name)
        if text is None:
            (directory / name).unlink()
        else:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
    click.echo(f"{directory}: {len(files)} files, {len(stale)} changed")


def _made_before(directory: Path) -> dict[str, str]:
    """Files that an earlier build made, by name; others in the directory are left alone."""
    texts = {
        path: path.read_text(errors="replace")
        for path in directory.rglob("*.yaml")
        if path.is_file()
    }
    return {
        str(path.relative_to(directory)): text
        for path, text in texts.items()
        if text.startswith(MADE_BY)
    }


@alerts.command()
@click.argument("name")
@_definitions
@click.option("--prometheus", "url", help="Address of a Prometheus: show the values now, too.")
def explain(name: str, definitions: Path, url: str | None) -> None:
    """Tell in plain words what an alert watches, and when it fires."""
    found = load_definitions(definitions)
    named: dict[str, Alert | Slo] = {alert.name: alert for alert in found.alerts}
    named |= {slo.name: slo for slo in found.slos}
    if name not in named:
        raise click.BadParameter(unknown(f"alert {name!r}", name, named))
    definition = named[name]
    click.echo(explained(definition, found))
    if url is not None:
        click.echo()
        for line in values_now(definition, Prometheus(url)):
            click.echo(line)


@alerts.command(name="backtest")
@_definitions
@click.option("--prometheus", "url", required=True, help="Address of a Prometheus.")
@click.option(
    "--days",
    type=click.FloatRange(0, 365, min_open=True),
    default=7.0,
    show_default=True,
    help="How far to look back.",
)
@click.option(
    "--picture",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="SVG file that shows when each fired, for a browser.",
)
def backtest_(definitions: Path, url: str, days: float, file: Path | None) -> None:
    """Tell how often each alert would have fired in a Prometheus's past."""
    end = time.time()
    outcomes = list(backtest(load_definitions(definitions), Prometheus(url), end, days))
    click.echo(report(outcomes))
    if file is not None:
        file.write_text(picture(outcomes, end, days))


@alerts.command(name="import")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File; default: standard output.")
@click.option(
    "--duration-unit",
    type=click.Choice(["s", "ms"]),
    help="Unit of the source's durations, where it is not documented.",
)
@click.option(
    "--timezone",
    default="Asia/Shanghai",
    show_default=True,
    help="Time zone of times without one.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Our metric for one of the source: acs_example/Latency=latency_average.",
)
def import_(
    kind: str,
    file: Path,
    out: Path | None,
    duration_unit: str | None,
    timezone: str,
    metrics: tuple[str, ...],
) -> None:
    """Make definitions of other monitoring's alerts; on standard error what was not carried."""
    table = dict(_counterpart(each) for each in metrics)
    draft = imported(kind, file, Hints(duration_unit, timezone, table))
    if out is None:
        click.echo(draft.text(), nl=False)
    else:
        out.write_text(draft.text())
    for remark in draft.remarks:
        click.echo(remark, err=True)


def _counterpart(given: str) -> tuple[str, str]:
    source, _, metric = given.partition("=")
    if metric not in METRICS:
        raise click.BadParameter(unknown(f"metric {metric!r}", metric, METRICS))
    return source, metric
