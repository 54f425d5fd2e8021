"""A made-up gateway for a first look: its traffic, its log, and a configuration to read it."""

import json
from importlib import resources
from pathlib import Path
from string import Template

from exporter.demo.log import write_traffic
from exporter.demo.traffic import Traffic, payloads

__all__ = ["LOG_NAME", "Traffic", "configuration", "greeting", "payloads", "write_traffic"]

LOG_NAME = "gateway.jsonl"


def configuration(directory: Path) -> str:
    """The embedded configuration (YAML) for a log and a state under a directory."""
    text = resources.files(__package__).joinpath("configuration.yaml").read_text("utf-8")
    inside_quotes = json.dumps(str(directory))[1:-1]  # YAML's double quotes know JSON's escapes.
    return Template(text).substitute(dir=inside_quotes)


def greeting(directory: Path, listen_address: str) -> str:
    """What somebody who has just started the demo wants to know."""
    address = _openable(listen_address)
    return f"""\
A made-up gateway writes {directory / LOG_NAME}, and this counts its requests.

  http://{address}/           what there is
  http://{address}/requests   each request, to search
  http://{address}/metrics    the series, for Prometheus to scrape

Next, your own gateway: README.md has the ten lines of configuration. Ctrl-C ends both.
"""


def _openable(listen_address: str) -> str:
    """The address to open in a browser; where all are listened at, this machine's."""
    host, _, port = listen_address.rpartition(":")
    is_every = not host.strip("[:0.]")  # As 0.0.0.0 and [::] are.
    return f"localhost:{port}" if is_every else listen_address
