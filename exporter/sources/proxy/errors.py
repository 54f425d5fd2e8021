"""Why the proxy answers in the place of an upstream."""


class UpstreamError(Exception):
    """The upstream gave no answer, or not the whole one.

    Attributes:
        status: that the client gets.
        error_type: in series.
    """

    status = 502
    error_type = "upstream_invalid"


class UnreachableError(UpstreamError):
    """No connection came about."""

    error_type = "upstream_unreachable"


class TimedOutError(UpstreamError):
    """The upstream took too long."""

    status = 504
    error_type = "upstream_timeout"


class InvalidAnswerError(UpstreamError):
    """What came is not HTTP."""


class CutError(UpstreamError):
    """The connection ended before the answer was whole.

    Attributes:
        unanswered: not one byte of an answer came.
    """

    error_type = "upstream_aborted"

    def __init__(self, *, unanswered: bool) -> None:
        super().__init__("the connection ended early")
        self.unanswered = unanswered


class SlowClientError(UpstreamError):
    """The client's body does not come."""

    status = 408
    error_type = "client_timeout"


class InvalidBodyError(UpstreamError):
    """The client's body is not what its head says."""

    status = 400
    error_type = "client_invalid"
