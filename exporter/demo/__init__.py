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
    return f"""\
A made-up gateway writes {directory / LOG_NAME}, and this counts its requests.

  http://{listen_address}/           what there is
  http://{listen_address}/requests   each request, to search
  http://{listen_address}/metrics    the series, for Prometheus to scrape

Next, your own gateway: README.md has the ten lines of configuration. Ctrl-C ends both.
"""
