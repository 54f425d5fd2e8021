"""Labels in Prometheus, what tells successes from failures by them, and dashboards' variables."""

from exporter import vocabulary as v
from exporter.alerting.promql import Matcher
from exporter.record import CLIENT_ABORTED
from exporter.vocabulary import prometheus_label

MODEL = prometheus_label(v.MODEL)
PROVIDER = prometheus_label(v.PROVIDER)
OPERATION = prometheus_label(v.OPERATION)
STATUS_CODE = prometheus_label(v.STATUS_CODE)
ERROR_TYPE = prometheus_label(v.ERROR_TYPE)
TOKEN_TYPE = prometheus_label(v.TOKEN_TYPE)
LE = "le"

SUCCEEDED = Matcher(ERROR_TYPE, "=", "")
FAILED = Matcher(ERROR_TYPE, "!~", f"|{CLIENT_ABORTED}")
JUDGED = Matcher(ERROR_TYPE, "!=", CLIENT_ABORTED)
"""A client that went away says nothing about the gateway: neither a success nor a failure."""


def variable_of(label: str) -> str:
    """The dashboards' variable in which values of an extra attribute's label are picked.

    By a name of its own: an attribute may be called what another variable is.
    """
    return f"attribute_{label}"
