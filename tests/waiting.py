"""Waiting for a condition with a limit, and a port that nothing listens on."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], limit_s: float = 10, what: str = "", every_s: float = 0.02
) -> T:
    """The first true value of `condition`, asked again and again.

    Raises:
        AssertionError: it had none within `limit_s` seconds; says `what` was waited for, and
            the last value.
    """
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {limit_s:g} s in vain for {what or 'a condition'}; it is {value!r}"
            )
        time.sleep(every_s)
    return value


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
