"""Prometheus series from the request logs of LLM gateways, every request counted once."""

__version__ = "0.1.0"
