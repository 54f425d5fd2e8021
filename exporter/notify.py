"""What the process tells systemd about itself: the protocol of sd_notify(3).

Every function does nothing when no service manager listens at $NOTIFY_SOCKET.
"""

import os
import socket
import time

import structlog

_log = structlog.get_logger(__name__)


def ready() -> None:
    """Starting, or the reload that `reloading` began, has finished."""
    _send("READY=1")


def reloading() -> None:
    """A reload begins; `ready` ends it. Type=notify-reload asks for the time it began."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    _send("STOPPING=1")


def watchdog() -> None:
    """A sign of life, due at least every `watchdog_interval_s`."""
    _send("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """Half of the time after which systemd takes silence for death; None when it does not watch."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    return int(limit_us) / 2e6 if limit_us.isdecimal() and int(limit_us) else None


def _send(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # An abstract socket: its real name begins with a null byte.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)  # A full queue must not hold the event loop.
            manager.sendto("\n".join(assignments).encode(), address)
    except OSError as error:
        _log.warning("could not notify the service manager", error=str(error))
