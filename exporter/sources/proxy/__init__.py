"""A reverse proxy before a gateway or a model's API, which counts what goes through."""

from exporter.sources.proxy.fleet import Proxies, WantedProxy
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.server import ProxyServer

__all__ = ["Proxies", "ProxyMetrics", "ProxyServer", "WantedProxy"]
