"""Old logs, read after the fact: into the request log, and as OpenMetrics for Prometheus.

What the daemon counts is not touched: a backfill has a state of its own, from which it goes on when
it was interrupted, and writes its requests to files of their own in the request log.
"""
