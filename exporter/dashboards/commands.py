"""`dashboards`: the command that writes them."""

import re
from pathlib import Path

import click

from exporter.config import LABEL_PATTERN
from exporter.dashboards.options import REQUESTS_URL, Options


def _attributes(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    for name in names:
        if not re.match(LABEL_PATTERN, name):
            expected = "expected an attribute of the configuration's labels, such as team"
            raise click.BadParameter(f"{expected}; found {name!r}")
    return names


@click.group(name="dashboards")
def dashboards() -> None:
    """Grafana dashboards, fitted to your labels and data source."""


@dashboards.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory that grafana/dashboards/*.json and rules/dashboards.rules.yaml go into.",
)
@click.option("--datasource", default="", help="Prometheus data source to begin with, by its name.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    callback=_attributes,
    help="Extra attribute of the configuration's labels; may be given several times.",
)
@click.option(
    "--job-label", default="job", show_default=True, help="Label by which exporters are chosen."
)
@click.option(
    "--requests-url",
    default=REQUESTS_URL,
    show_default=True,
    help="Where a browser finds the exporter's page of requests.",
)
@click.option(
    "--reset-proof",
    is_flag=True,
    help="Bear counters that begin again at zero, as other gateways' do, at a cost.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if a file is not as it would be.")
def build(
    out: Path,
    datasource: str,
    attributes: tuple[str, ...],
    job_label: str,
    requests_url: str,
    reset_proof: bool,
    check: bool,
) -> None:
    """Write the dashboards and the recording rules that they rest on."""
    from exporter.dashboards import files

    options = Options(datasource, attributes, job_label, requests_url, reset_proof)
    stale = []
    for name, text in files(options).items():
        path = out / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            click.echo(path)
    if check and stale:
        raise click.ClickException(f"stale: {', '.join(map(str, stale))}")
