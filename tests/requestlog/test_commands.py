"""`requests` on the command line: on the files, and through a running daemon's API."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.cli import main
from exporter.requestlog.exports import EXPORT_FORMATS, IncompleteExportError
from exporter.requestlog.filter import Filter
from exporter.requestlog.request import FIELDS
from exporter.web.requests import request_routes
from tests.requestlog.logging_requests import NOON, Logging, a_request
from tests.web.conftest import serve  # noqa: F401 - a fixture
from tests.web.serving import Serve

Command = Callable[..., Result]


@pytest.fixture
def log(tmp_path: Path) -> Logging:
    log = Logging(tmp_path / "state" / "requests", attributes=["team"])
    log.write(
        *[
            a_request(
                f"id-{n}", NOON - n, model=["qwen", "glm"][n % 2], attributes=(["red", ""][n % 2],),
                latency=n / 10,
            )
            for n in range(30)
        ]
    )  # fmt: skip
    return log


@pytest.fixture(params=["files", "url"])
def command(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    log: Logging,
    serve: Serve,  # noqa: F811
) -> Command:
    """Runs a command on the log in both ways of reaching it."""
    config = tmp_path / "config.yaml"
    tail = {"paths": ["x"], "format": "records"}
    config.write_text(
        json.dumps(
            {"state_dir": str(tmp_path / "state"), "sources": [{"name": "log", "tail": tail}]}
        )
    )
    where = [f"--config.file={config}"]
    if request.param == "url":
        served = serve(*request_routes(lambda: log.search, lambda: ["team"]))
        where = [f"--url=http://127.0.0.1:{served.port}"]

    def run(name: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["requests", name, *where, *arguments])

    return run


def test_list_shows_the_newest_requests_that_match(command: Command) -> None:
    lines = command("list", "--model=glm", "--limit=2").stdout.splitlines()
    assert lines[0].split()[:4] == ["REQUEST", "ID", "START", "TIME"]
    assert [line.split()[0] for line in lines[1:]] == ["id-1", "id-3"]
    as_json = command("list", "--attribute=team=red", "--min-latency-ms=2500", "--json").stdout
    assert [json.loads(line)["request_id"] for line in as_json.splitlines()] == ["id-26", "id-28"]


def test_show_tells_all_of_one_request(command: Command) -> None:
    assert json.loads(command("show", "id-7").stdout)["latency_ms"] == 700.0
    missing = command("show", "nobody")
    assert missing.exit_code == 1
    assert "No request" in missing.stderr


def test_export_writes_a_file_that_appears_when_it_is_whole(
    command: Command, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    done = command("export", "--format=jsonl", "--column=request_id", f"--output={output}")
    assert done.exit_code == 0, done.output
    written = [json.loads(line)["request_id"] for line in output.read_text().splitlines()]
    assert written == [f"id-{n}" for n in range(30)]
    assert list(tmp_path.glob("*.part")) == []
    to_stdout = command("export", "--id=id-3", "--column=request_id", "--column=model").stdout
    assert to_stdout.splitlines() == ["request_id,model", "id-3,glm"]


def test_a_column_that_is_asked_for_twice_is_there_once(command: Command) -> None:
    columns = ["--column=model", "--column=request_id", "--column=model"]
    done = command("export", "--id=id-3", *columns)
    assert done.stdout.splitlines() == ["model,request_id", "glm,id-3"]


@pytest.mark.parametrize("format_name", EXPORT_FORMATS)
def test_an_export_is_the_same_in_both_ways(
    command: Command, log: Logging, tmp_path: Path, format_name: str
) -> None:
    output = tmp_path / "out"
    done = command("export", f"--format={format_name}", f"--output={output}")
    assert done.exit_code == 0, done.output
    chunks = EXPORT_FORMATS[format_name].chunks(log.search.export(Filter()), FIELDS)
    assert output.read_bytes() == b"".join(chunks)


def test_an_export_that_breaks_off_leaves_no_file(
    command: Command, log: Logging, tmp_path: Path
) -> None:
    log.write(*[a_request(f"more-{n}", attributes=("",)) for n in range(5000)])
    log.damage(4096)
    output = tmp_path / "out.csv"
    done = command("export", f"--output={output}")
    assert done.exit_code == 78
    assert "the export broke off" in done.stderr
    assert not output.exists()


@pytest.mark.parametrize("format_name", EXPORT_FORMATS)
def test_an_export_without_its_end_is_not_taken_for_a_whole_one(
    log: Logging, format_name: str
) -> None:
    export = EXPORT_FORMATS[format_name]
    whole = b"".join(export.with_trailer(log.search.export(Filter()), FIELDS))
    plain = b"".join(export.chunks(log.search.export(Filter()), FIELDS))
    assert b"".join(export.without_trailer([whole[:100], whole[100:-5], whole[-5:]])) == plain
    for end in (-1, -10, len(plain) // 2, 0):
        with pytest.raises(IncompleteExportError):
            list(export.without_trailer([whole[:end]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--status=99"], "status: expected a code"),
        (["--since=soon"], "--since: expected a number with its unit"),
        (["--attribute=team"], "expected NAME=VALUE"),
        (["--from=yesterday"], "from: expected a time"),
    ],
)
def test_a_mistake_is_told_in_a_line(command: Command, arguments: list[str], message: str) -> None:
    done = command("list", *arguments)
    assert done.exit_code != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_daemon_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(main, ["requests", "list", "--url=http://127.0.0.1:1"])
    assert done.exit_code == 78
    assert done.stderr == "http://127.0.0.1:1: Connection refused\n"


def test_a_password_is_sent_and_not_told(command: Command) -> None:
    done = CliRunner().invoke(main, ["requests", "list", "--url=http://user:secret@127.0.0.1:1"])
    assert "secret" not in done.stderr
