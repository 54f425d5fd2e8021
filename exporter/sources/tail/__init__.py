"""Tailing log files: every complete line is delivered exactly once."""

from exporter.sources.tail.descriptors import Descriptors
from exporter.sources.tail.metrics import TailMetrics
from exporter.sources.tail.settings import Clock, TailSettings
from exporter.sources.tail.source import TailSource

__all__ = ["Clock", "Descriptors", "TailMetrics", "TailSettings", "TailSource"]
