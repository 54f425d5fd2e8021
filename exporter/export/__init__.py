"""Readers of the ledger: what Prometheus scrapes, what OTLP carries."""
