import json
import logging
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from exporter import logs

_PAIR = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]+)(?: |$)')


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def read_logfmt(line: str) -> dict[str, str]:
    """The pairs of one line, read by the format's grammar; fails on anything else in it."""
    pairs = {}
    position = 0
    while position < len(line):
        pair = _PAIR.match(line, position)
        assert pair, f"no pair at {position} in {line!r}"
        key, value = pair.groups()
        pairs[key] = json.loads(value) if value.startswith('"') else value
        position = pair.end()
    return pairs


def test_a_line_says_when_how_bad_where_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    structlog.get_logger("exporter.some.part").info("the file came back", path="/a b", lines=3)
    line = capsys.readouterr().err
    pairs = read_logfmt(line.removesuffix("\n"))
    assert list(pairs) == ["time", "level", "logger", "msg", "path", "lines"]
    assert datetime.now(UTC) - datetime.fromisoformat(pairs.pop("time")) < timedelta(minutes=1)
    assert pairs == {
        "level": "info",
        "logger": "exporter.some.part",
        "msg": "the file came back",
        "path": "/a b",
        "lines": "3",
    }


def test_what_a_process_always_says_stands_in_lines_of_every_logger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "logfmt", worker=2)
    structlog.get_logger("exporter.tail").info("rotated")
    logging.getLogger("a.library").warning("rotated")
    ours, library = map(read_logfmt, capsys.readouterr().err.splitlines())
    assert ours["worker"] == library["worker"] == "2"


def test_time_is_utc_in_rfc_3339(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    structlog.get_logger("x").info("now")
    assert re.match(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ", capsys.readouterr().err)


def test_json_has_the_same_keys(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger("x").warning("late", seconds=1.5, path=None)
    event = json.loads(capsys.readouterr().err)
    assert list(event) == ["time", "level", "logger", "msg", "seconds", "path"]
    assert (event["level"], event["msg"], event["seconds"], event["path"]) == (
        "warning",
        "late",
        1.5,
        None,
    )


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warn", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(
    level: logs.Level, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level, "json")
    for logger in (structlog.get_logger("x"), logging.getLogger("aiohttp.server")):
        for method in ("debug", "info", "warning", "error"):
            getattr(logger, method)("said")
        lines = capsys.readouterr().err.splitlines()
        assert [json.loads(line)["level"] for line in lines] == shown


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_loggers_of_the_standard_library_speak_the_same_format(
    style: logs.Format, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", style)
    logging.getLogger("opentelemetry.exporter").warning("sent %d of %s\nlevel=error", 3, "many")
    line = capsys.readouterr().err.removesuffix("\n")
    event = json.loads(line) if style == "json" else read_logfmt(line)
    assert (event["level"], event["logger"], event["msg"]) == (
        "warning",
        "opentelemetry.exporter",
        "sent 3 of many\nlevel=error",
    )


def test_warnings_of_python_are_log_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("info", "logfmt")
        warnings.warn("old and tired", stacklevel=1)
    assert "old and tired" in read_logfmt(capsys.readouterr().err.removesuffix("\n"))["msg"]


@pytest.mark.parametrize("logger", [structlog.get_logger("x"), logging.getLogger("x")])
def test_a_traceback_stays_in_its_line(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "logfmt")
    try:
        raise ValueError("bad\nnews")
    except ValueError:
        logger.exception("it failed")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    exception = read_logfmt(written.removesuffix("\n"))["exception"]
    assert exception.startswith("Traceback")
    assert exception.endswith("ValueError: bad\nnews")


def test_configuring_again_does_not_write_lines_twice(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.configure("info", "logfmt")
    structlog.get_logger("x").info("once")
    assert capsys.readouterr().err.count("\n") == 1


_ANY_TEXT = st.text(st.characters())  # Surrogates and control characters too.


@given(message=_ANY_TEXT, value=_ANY_TEXT, key=_ANY_TEXT)
def test_no_text_can_forge_a_line_or_a_pair_in_logfmt(message: str, value: str, key: str) -> None:
    line = logs.render_logfmt({"level": "info", "msg": message, f"key.{key}": value})
    assert line.isprintable()
    pairs = list(read_logfmt(line).items())
    assert len(pairs) == 3
    assert pairs[:2] == [("level", "info"), ("msg", message)]
    assert pairs[2][1] == value


@given(message=_ANY_TEXT, value=st.one_of(_ANY_TEXT, st.binary(), st.integers(), st.none()))
def test_no_text_can_forge_a_line_in_json(message: str, value: object) -> None:
    line = logs.render_json({"msg": message, "value": value})
    assert line.isprintable()
    event = json.loads(line)
    assert event["msg"] == message
    assert event["value"] == (str(value) if isinstance(value, bytes) else value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("qwen-plus", "qwen-plus"),
        ("通义千问", "通义千问"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("c:\\logs", r'"c:\\logs"'),
        ("one\r\ntwo", r'"one\r\ntwo"'),
        ("\x1b[2J", r'"\u001b[2J"'),
        ("right\u202eleft", r'"right\u202eleft"'),
        ("line\u2028line", r'"line\u2028line"'),
        (True, "true"),
        (None, "null"),
        (0.25, "0.25"),
        ([1, "two"], "\"[1, 'two']\""),
    ],
)
def test_logfmt_values_are_bare_words_where_that_is_unambiguous(
    value: object, written: str
) -> None:
    assert logs.render_logfmt({"key": value}) == f"key={written}"
