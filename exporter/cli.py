"""The commands; nothing but their arguments and what they print."""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from exporter import __version__, demo, logs
from exporter.config import config_schema, load_config, unfilled_attributes
from exporter.errors import ExporterError

EX_CONFIG = 78
"""Exit status for what only a person can mend (sysexits.h): a supervisor need not try again."""

EX_TEMPFAIL = 75
"""Exit status for what may be well later: a supervisor is to try again."""

_MODULES = {
    "alerts": "exporter.alerting.commands",
    "backfill": "exporter.backfill.commands",
    "dashboards": "exporter.dashboards.commands",
    "formats": "exporter.formats.commands",
    "requests": "exporter.requestlog.commands",
}
"""Commands with a module of their own, imported when one is asked for: together they take longer to
import than most of them run, and the daemon needs none."""

_FILE = click.Path(path_type=Path, readable=False)  # Who reads it says why it cannot: status 78.

_config_file = click.option(
    "--config.file",
    "config_file",
    type=_FILE,
    default=Path("config.yaml"),
    show_default=True,
    help="Configuration.",
)


def _serving(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the commands that run the daemon."""
    for option in (
        click.option(
            "--log.format",
            "log_format",
            type=click.Choice(["logfmt", "json"]),
            default="logfmt",
            show_default=True,
            help="Format of log lines, on standard error.",
        ),
        click.option(
            "--log.level",
            "log_level",
            type=click.Choice(["debug", "info", "warn", "error"]),
            default="info",
            show_default=True,
            help="Only log lines of this level or above.",
        ),
        click.option(
            "--web.enable-lifecycle",
            "enable_lifecycle",
            is_flag=True,
            help="Let POST /-/reload reload the configuration, as SIGHUP does.",
        ),
        click.option(
            "--web.allowed-host",
            "allowed_hosts",
            multiple=True,
            metavar="NAME",
            help="Further name to be asked by, such as an ingress's; * stands for any characters.",
        ),
        click.option(
            "--web.open-metrics",
            "open_metrics",
            is_flag=True,
            help="Let /metrics be read without the password that all other pages ask for.",
        ),
        click.option(
            "--web.config.file",
            "web_config",
            type=_FILE,
            help="TLS and basic authentication, in the format of Prometheus's exporters.",
        ),
        click.option(
            "--web.listen-address",
            "listen",
            multiple=True,
            default=["127.0.0.1:9478"],
            show_default=True,
            help="Address to serve at; may be given several times.",
        ),
    ):
        command = option(command)
    return command


class _Commands(click.Group):
    """Prints what a person can mend without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, for the help."""
        return sorted({*super().list_commands(ctx), *_MODULES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        if cmd_name not in _MODULES:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(_MODULES[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except ExporterError as error:
            click.echo(error, err=True)
            sys.exit(EX_TEMPFAIL if error.may_pass else EX_CONFIG)
        except OSError as error:
            # A file that a person named; the daemon tells of its own.
            if ctx.invoked_subcommand not in _MODULES or error.filename is None:
                raise
            click.echo(f"{error.filename}: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llm-gateway-exporter")
def main() -> None:
    """Count a model gateway's requests for Prometheus: each once, from its log."""


@main.command()
@_config_file
@_serving
def run(config_file: Path, **serving: Any) -> None:
    """Run the daemon."""
    _run(config_file, serving)


def _run(config_file: Path, serving: Mapping[str, Any]) -> None:
    from exporter.daemon import Daemon, Options

    options = Options(config_file, **serving)
    logs.configure(options.log_level, options.log_format)
    Daemon(options).run()


@main.command(name="demo")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("llm-gateway-exporter-demo"),
    show_default=True,
    help="Where the made-up gateway writes its log, and the daemon keeps its state.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="Requests per second.",
)
@_serving
def demo_command(directory: Path, rate: float, **serving: Any) -> None:
    """Run the daemon on a made-up gateway's log, for a first look."""
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.absolute()
    config_file = directory / "config.yaml"
    configuration = demo.configuration(directory).encode()
    if config_file.exists() and config_file.read_bytes() != configuration:
        raise click.UsageError(f"--dir: {config_file} is not the demo's; name another directory")
    config_file.write_bytes(configuration)
    stop = threading.Event()
    traffic = threading.Thread(
        target=demo.write_traffic, args=(directory / demo.LOG_NAME, rate, 1, stop), daemon=True
    )
    click.echo(demo.greeting(directory, serving["listen"][0]), nl=False)
    traffic.start()
    try:
        _run(config_file, serving)
    finally:
        stop.set()
        traffic.join()


@main.command(name="check-config")
@_config_file
def check_config(config_file: Path) -> None:
    """Check a configuration; all of its mistakes are shown at once."""
    config = load_config(config_file)
    click.echo(f"{config_file}: valid, {len(config.sources)} source(s)")
    for name, near in unfilled_attributes(config).items():
        hint = f"; did you mean {near}?" if near else ""
        click.echo(f"labels.attributes: no source has {name}, which will be empty{hint}", err=True)


@main.group(name="config")
def config_group() -> None:
    """Help with writing a configuration."""


@config_group.command(name="schema")
def schema() -> None:
    """Print the configuration's JSON Schema, for editors."""
    click.echo(json.dumps(config_schema(), indent=2))
