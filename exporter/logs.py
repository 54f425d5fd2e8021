"""Log lines: structured, one a line, to standard error, as logfmt or JSON."""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["logfmt", "json"]

_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_FIRST_KEYS = ("time", "level", "logger", "msg")
_BARE_VALUE = re.compile(r'[^\s"=\\]+')
_NOT_IN_KEYS = re.compile(r"[^\w.-]", re.ASCII)


def configure(level: Level, format: Format, **always: object) -> None:
    """Send structlog's and the standard library's loggers to standard error, from `level` up.

    Timestamps are UTC, RFC 3339. Calling it again replaces what was set before.

    Args:
        always: what every line says as well.
    """

    def add_always(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, **always}

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
        add_always,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(render_logfmt if format == "logfmt" else render_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    logging.captureWarnings(True)


def render_logfmt(event: EventDict) -> str:
    """`key=value` pairs. A value that is not one plain word is quoted and escaped as in JSON.

    What cannot be printed is escaped too: line breaks of every script, terminal control
    sequences, characters that reverse the direction of text. A line therefore ends where the
    event ends, and looks like what it says.
    """
    return " ".join(
        f"{_NOT_IN_KEYS.sub('_', key)}={_logfmt_value(value)}" for key, value in event.items()
    )


def render_json(event: EventDict) -> str:
    """One JSON object in ASCII; a value that JSON does not know is written as its text."""
    return json.dumps(event, default=str)


def error_text(error: Exception) -> str:
    """What the system says of an error, else where it happened: other texts may quote a request."""
    if isinstance(error, OSError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"


def _logfmt_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value)
    if _BARE_VALUE.fullmatch(text) and text.isprintable():
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character.isprintable() and character not in '"\\':
        return character
    return json.dumps(character)[1:-1]


def _renderer(render: Callable[[EventDict], str]) -> Processor:
    def ordered(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
        first = {key: event.pop(key) for key in _FIRST_KEYS if key in event}
        return render({**first, **event})

    return ordered
