"""The web listener: metrics, health, reload and pages, guarded by the web-config file."""

from exporter.listener import Limits
from exporter.web.exposition import Exposition
from exporter.web.pages import Link, SourceState
from exporter.web.server import WebServer

__all__ = ["Exposition", "Limits", "Link", "SourceState", "WebServer"]
