"""OTLP: the ledger's series, and each request as a log record, pushed to other systems."""
