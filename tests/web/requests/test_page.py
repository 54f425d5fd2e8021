"""The page in a real browser."""

import csv
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas
import pytest
from playwright.sync_api import Page, expect

from exporter.requestlog.request import FIELDS
from tests.requestlog.logging_requests import NOON, Logging, a_request
from tests.web.requests.conftest import ATTRIBUTES, OpenPage
from tests.web.requests.test_api import some
from tests.web.serving import Served


def shown(page: Page) -> list[str]:
    """Ids in the table, once it is not being replaced."""
    expect(page.locator("table")).to_have_attribute("aria-busy", "false")
    return page.locator("tbody td.id").all_inner_texts()


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def named(*numbers: int) -> list[str]:
    return [f"id-{number}" for number in numbers]


def test_the_table_has_the_columns_of_the_logs_tab(log: Logging, open_page: OpenPage) -> None:
    log.write(
        a_request(
            "id-1", NOON, model="qwen-plus", attributes=("", ""), streamed=True, latency=2.5,
            time_to_first_token=0.125, input_tokens=1000, output_tokens=234, total_tokens=1234,
        )
    )  # fmt: skip
    page = open_page()
    assert page.locator("thead th").all_inner_texts()[:7] == [
        *("Request ID", "Timestamp (UTC)", "Model", "Usage", "TTFT", "Latency", "Status"),
    ]
    assert page.locator("tbody td").all_inner_texts()[:7] == [
        *("id-1", "2026-11-23 12:00:00.000", "qwen-plus", "1,234 (1,000 in, 234 out)"),
        *("125 ms", "2.50 s", "200"),
    ]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("model", "glm", [1, 3, 5, 7]),
        ("model", "glm, qwen", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("status", "429", [2, 6]),
        ("status", "error", [2, 3, 6, 7]),
        ("id", "id-5", [5]),
        ("provider", "openai", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("operation", "embeddings", []),
        ("error_type", "503", [3, 7]),
        ("source", "log", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("min_latency_ms", "650", [7]),
        ("attribute.team", "blue", [1, 3, 5, 7]),
    ],
)
def test_a_field_filters_and_stands_in_the_address(
    log: Logging, open_page: OpenPage, field: str, text: str, expected: list[int]
) -> None:
    log.write(*some(8))
    page = open_page()
    assert shown(page) == named(*range(8))
    if not page.locator(f"[name='{field}']").is_visible():
        page.get_by_text("More filters").click()
    page.locator(f"[name='{field}']").fill(text)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(len(expected))
    assert shown(page) == named(*expected)
    assert query(page)[field] == text.split(", ")
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(len(expected))
    assert page.locator(f"[name='{field}']").input_value() == text
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(8)


@pytest.mark.parametrize("text", ["429, 503", "429,503"])
def test_several_statuses_need_no_space_between_them(
    log: Logging, open_page: OpenPage, text: str
) -> None:
    log.write(*some(8))
    page = open_page()
    page.locator("[name=status]").fill(text)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    assert query(page)["status"] == ["429", "503"]


@pytest.mark.parametrize("name", ["model", "status", "provider", "source", "attribute.team"])
def test_a_field_says_how_it_takes_several_values(open_page: OpenPage, name: str) -> None:
    field = open_page().locator(f"[name='{name}']")
    expect(field).to_have_attribute("title", re.compile("a comma and a space between"))


def test_streamed_requests_are_chosen_from_a_list(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(2), *some(1, streamed=True))
    page = open_page()
    page.get_by_text("More filters").click()
    page.locator("[name=streamed]").select_option("true")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_range_of_time_may_be_relative_or_absolute_and_in_either_zone(
    log: Logging, open_page: OpenPage
) -> None:
    log.write(*some(8))
    page = open_page("/requests")  # the last hour: the log's requests are of another time
    page.clock.set_fixed_time("2026-11-23T12:00:10Z")
    page.locator("[name=range]").select_option("15m")
    expect(page.locator("tbody tr")).to_have_count(8)
    assert query(page) == {"range": ["15m"]}
    page.locator("[name=range]").select_option("custom")
    page.locator("[name=from]").fill("2026-11-23T11:59:58")
    page.locator("[name=to]").fill("2026-11-23T11:59:59")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert query(page)["from"] == ["2026-11-23T11:59:58.000Z"]
    page.locator("[name=tz]").select_option("local")
    expect(page.locator("thead")).to_contain_text("UTC+09:00")
    page.reload()
    assert page.locator("[name=from]").input_value() == "2026-11-23T20:59:58"
    assert page.locator("tbody td.time").all_inner_texts() == [
        *("2026-11-23 20:59:59.000", "2026-11-23 20:59:58.000"),
    ]


def test_a_range_with_neither_end_is_all_that_is_kept(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(2))
    page = open_page("/requests")
    page.locator("[name=range]").select_option("custom")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_link_from_grafana_with_unix_milliseconds_is_understood(
    log: Logging, open_page: OpenPage
) -> None:
    log.write(*some(8))
    page = open_page(f"/requests?from={int(NOON - 2) * 1000}&to={int(NOON) * 1000}&model=qwen")
    assert shown(page) == named(0, 2)


def test_paging_shows_each_request_once_while_others_arrive(
    log: Logging, open_page: OpenPage
) -> None:
    log.write(*some(250))
    page = open_page()
    found = shown(page)
    while page.locator("#older").is_visible():
        log.write(a_request("new", NOON + 10, attributes=("", "")))
        before = shown(page)[0]
        page.locator("#older").click()
        expect(page.locator("tbody td.id").first).not_to_have_text(before)
        found += shown(page)
    assert found == named(*range(250))
    page.go_back()
    expect(page.locator("tbody td.id").first).to_have_text("id-100")
    page.get_by_role("button", name="Newest").click()
    expect(page.locator("tbody td.id").first).to_have_text("new")


@pytest.mark.parametrize("chosen", ["1h", "24h", "all"])
def test_newest_goes_back_to_the_range_and_shows_what_came_meanwhile(
    log: Logging, open_page: OpenPage, chosen: str
) -> None:
    log.write(*some(250))
    page = open_page(f"/requests?range={chosen}&model=qwen")
    page.clock.set_fixed_time("2026-11-23T12:00:10Z")
    page.reload()
    page.locator("#older").click()
    expect(page.locator("tbody tr")).to_have_count(25)
    log.write(a_request("new", NOON + 60, model="qwen", attributes=("", "")))
    page.clock.set_fixed_time("2026-11-23T12:01:10Z")
    page.get_by_role("button", name="Newest").click()
    expect(page.locator("tbody td.id").first).to_have_text("new")
    expect(page.locator("[name=range]")).to_have_value(chosen)
    assert query(page) == {"range": [chosen], "model": ["qwen"]}


def test_newest_goes_back_to_the_last_hour_where_no_range_was_chosen(
    log: Logging, open_page: OpenPage
) -> None:
    log.write(*some(150))
    page = open_page("/requests")
    page.clock.set_fixed_time("2026-11-23T12:00:10Z")
    page.reload()
    for _ in range(2):
        page.locator("#older").click()
        expect(page.locator("tbody tr")).to_have_count(50)
        page.get_by_role("button", name="Newest").click()
        expect(page.locator("tbody tr")).to_have_count(100)
        assert query(page) == {"range": ["1h"]}


def test_newest_keeps_times_that_were_chosen(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(250))
    page = open_page("/requests?from=2026-11-23T11:00:00Z&to=2026-11-23T11:59:00Z")
    page.locator("#older").click()
    expect(page.locator("tbody tr")).to_have_count(90)
    page.get_by_role("button", name="Newest").click()
    expect(page.locator("tbody tr")).to_have_count(100)
    assert query(page) == {"from": ["2026-11-23T11:00:00Z"], "to": ["2026-11-23T11:59:00Z"]}


def test_live_shows_what_arrives(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(2))
    page = open_page()
    page.get_by_label("Live").check()
    expect(page.locator("tbody tr")).to_have_count(2)
    log.write(a_request("just now", NOON + 5, attributes=("", "")))
    expect(page.locator("tbody td.id").first).to_have_text("just now", timeout=8000)
    assert query(page)["live"] == ["1"]


@pytest.fixture
def half_typed(log: Logging, open_page: OpenPage) -> Page:
    """125 requests were searched for, and another filter is typed."""
    log.write(*some(250))
    page = open_page("/requests?range=all&model=qwen")
    page.locator("[name=model]").fill("qw")
    return page


def test_older_goes_on_with_what_was_searched_for(half_typed: Page) -> None:
    half_typed.locator("#older").click()
    expect(half_typed.locator("tbody tr")).to_have_count(25)
    assert shown(half_typed) == named(*range(200, 250, 2))
    expect(half_typed.locator("[name=model]")).to_have_value("qwen")


def test_counted_is_what_was_searched_for(half_typed: Page) -> None:
    half_typed.get_by_role("button", name="Count all").click()
    expect(half_typed.locator("#summary")).to_have_text("125 requests in all")


def test_an_export_has_what_was_searched_for(half_typed: Page, tmp_path: Path) -> None:
    half_typed.locator("#export summary").click()
    with half_typed.expect_download() as download:
        half_typed.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "csv")
    with (tmp_path / "csv").open(newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["qwen"] * 125


def test_live_goes_on_while_somebody_types(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(2))
    page = open_page("/requests?range=all&live=1")
    page.locator("[name=status]").fill("4")
    log.write(a_request("just now", NOON + 5, attributes=("", "")))
    expect(page.locator("tbody td.id").first).to_have_text("just now", timeout=8000)
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("[name=status]")).to_have_value("4")


def test_details_are_told_as_a_list_and_as_json(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(3, cost=0.00001533))
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Details").nth(1).click()
    panel = page.locator("#panel")
    expect(panel).to_contain_text("id-1")
    terms = dict(
        zip(
            panel.locator("dt").all_inner_texts(),
            panel.locator("dd").all_inner_texts(),
            strict=True,
        )
    )
    assert terms["Started"] == "2026-11-23 11:59:59.000 UTC"
    assert (terms["team"], terms["Latency"], terms["Error type"]) == ("blue", "100 ms", "none")
    assert terms["Cost"] == "0.00001533"
    assert (terms["Output tokens"], terms["TTFT"]) == ("1", "not reported")
    panel.get_by_role("tab", name="JSON").click()
    assert json.loads(panel.locator("pre").inner_text())["attributes"] == {"team": "blue"}
    panel.get_by_role("button", name="Copy").click()
    expect(panel.locator("#copy")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied)["request_id"] == "id-1"


def test_an_open_request_is_in_the_address_and_the_keyboard_moves_to_others(
    log: Logging, open_page: OpenPage
) -> None:
    log.write(*some(3))
    page = open_page()
    page.keyboard.press("j")
    panel = page.locator("#panel")
    expect(panel).to_contain_text("id-0")
    page.keyboard.press("ArrowDown")
    expect(panel).to_contain_text("id-1")
    page.reload()
    expect(panel).to_contain_text("id-1")
    page.keyboard.press("k")
    expect(panel).to_contain_text("id-0")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    assert "request" not in query(page)
    assert page.evaluate("document.activeElement.closest('tr').dataset.key").endswith(":0")
    page.locator("[name=model]").press("j")
    expect(panel).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#empty")).to_contain_text("Nothing matches these filters")


def test_the_form_of_the_details_is_in_the_address(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(3))
    page = open_page()
    page.get_by_role("button", name="Details").first.click()
    page.get_by_role("tab", name="JSON").click()
    assert query(page)["details"] == ["json"]
    page.reload()
    expect(page.locator("#json")).to_contain_text('"request_id": "id-0"')
    api = page.get_by_role("link", name="API").last.get_attribute("href")
    assert page.evaluate(f"fetch('{api}').then((answer) => answer.json())")["request_id"] == "id-0"
    page.keyboard.press("Escape")
    assert "details" not in query(page)


@pytest.mark.parametrize("key", ["2026-11-01:0", "id-1"])
def test_a_link_to_a_request_that_is_not_kept_says_so(
    log: Logging, open_page: OpenPage, key: str
) -> None:
    log.write(*some(3))
    page = open_page(f"/requests?range=all&request={key}")
    panel = page.locator("#panel")
    expect(panel.get_by_role("alert")).to_contain_text("No request that is kept")
    expect(panel.get_by_role("tab")).to_have_count(0)
    assert shown(page) == named(0, 1, 2)
    assert query(page)["request"] == [key]
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    assert "request" not in query(page)
    page.get_by_role("button", name="Details").first.click()
    expect(panel).to_contain_text("id-0")
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_the_keyboard_goes_on_to_the_next_page(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(102))
    page = open_page()
    page.get_by_role("button", name="Details").nth(98).click()
    for number in (99, 100, 101):
        page.keyboard.press("j")
        expect(page.locator("#panel")).to_contain_text(f"id-{number}")
    expect(page.locator("#next")).to_be_disabled()
    assert shown(page) == named(100, 101)
    page.reload()
    expect(page.locator("#panel")).to_contain_text("id-101")


def test_columns_are_chosen_and_stand_in_the_address(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(2))
    page = open_page()
    page.locator("#columns summary").click()
    expect(page.locator("#columns input")).to_have_count(len(FIELDS) - 1 + len(ATTRIBUTES))
    for name in ("Provider", "team", "Cost"):
        page.locator("#columns").get_by_label(name, exact=True).check()
    for name in ("Usage", "TTFT"):
        page.locator("#columns").get_by_label(name, exact=True).uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("#columns fieldset")).to_be_hidden()
    heads = ["Request ID", "Timestamp (UTC)", "Model", "Latency", "Status", "Provider", "Cost"]
    dash = "\N{EN DASH}"
    cells = ["id-0", "2026-11-23 12:00:00.000", "qwen", "0 ms", "200", "openai", dash, "red"]
    for _ in range(2):
        assert page.locator("thead th").all_inner_texts()[:8] == [*heads, "team"]
        first = page.locator("tbody tr").first
        assert first.locator("td").all_inner_texts()[:8] == cells
        page.reload()
        expect(page.locator("tbody tr")).to_have_count(2)
    page.locator("[name=model]").fill("qwen")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert query(page)["columns"][0].split(",")[-1] == "attribute.team"
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("thead th")).to_have_count(8)
    assert "columns" not in query(page)


def test_all_that_match_are_counted_when_asked_for(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(250))
    page = open_page("/requests?range=all&model=qwen")
    expect(page.locator("#summary")).to_contain_text("100+ requests")
    page.get_by_role("button", name="Count all").click()
    expect(page.locator("#summary")).to_have_text("125 requests in all")
    page.locator("#older").click()
    expect(page.locator("tbody tr")).to_have_count(25)
    expect(page.locator("#count")).to_be_hidden()


def test_one_request_to_the_server_shows_a_page(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(250))
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.get_by_role("button", name="Search").click()
    expect(page.locator("table")).to_have_attribute("aria-busy", "false")
    page.get_by_role("button", name="Details").first.click()
    expect(page.locator("#panel")).to_be_visible()
    assert asked == ["/api/v1/requests"]


def test_a_link_pins_the_times_that_are_shown(log: Logging, open_page: OpenPage) -> None:
    page = open_page(
        "/requests?range=1h&model=qwen", permissions=["clipboard-read", "clipboard-write"]
    )
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#link")).to_have_text("Copied")
    copied = parse_qs(urlsplit(page.evaluate("navigator.clipboard.readText()")).query)
    assert set(copied) == {"from", "to", "model"}


def test_models_are_suggested_with_their_requests(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(5))
    page = open_page()
    page.locator("[name=model]").focus()
    options = page.locator("#models option")
    expect(options).to_have_count(2)
    assert options.first.get_attribute("value") == "qwen"
    assert options.first.inner_text() == "3 requests"
    page.locator("[name=model]").fill("qwen, GL")
    expect(options).to_have_count(1)
    assert options.first.get_attribute("value") == "qwen, glm"


def test_exports_hold_what_is_filtered(log: Logging, open_page: OpenPage, tmp_path: Path) -> None:
    log.write(*some(40))
    page = open_page("/requests?range=all&model=glm")
    files = {}
    for name, suffix in (("CSV", "csv"), ("JSON Lines", "jsonl"), ("Parquet", "parquet")):
        if not page.get_by_role("link", name=name).is_visible():
            page.locator("#export summary").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename.endswith(f".{suffix}")
        files[suffix] = tmp_path / suffix
        download.value.save_as(files[suffix])
    expected = named(*range(1, 40, 2))
    with files["csv"].open(newline="") as file:
        assert [row["request_id"] for row in csv.DictReader(file)] == expected
    lines = files["jsonl"].read_text().splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == expected
    assert pandas.read_parquet(files["parquet"])["request_id"].tolist() == expected


def test_an_export_may_have_the_fields_of_the_table(
    log: Logging, open_page: OpenPage, tmp_path: Path
) -> None:
    log.write(*some(4))
    page = open_page("/requests?range=all&columns=request_id,total_tokens,attribute.team")
    page.locator("#export summary").click()
    page.locator("#fields").select_option("shown")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "csv")
    lines = (tmp_path / "csv").read_text().splitlines()
    assert lines[0] == "request_id,total_tokens,input_tokens,output_tokens,attributes"
    assert len(lines) == 5


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "\"'><script>document.title='taken'</script>",
    "\u202egnp.exe\u202c \u0000\u0007",
    "javascript:alert(1)//" + "x" * 10_000,
    "{{7*7}}${7*7}",
]


def test_what_hostile_clients_write_is_shown_and_does_nothing(
    log: Logging, open_page: OpenPage
) -> None:
    log.write(
        *[
            a_request(text, NOON - place, model=text, error_type=text, attributes=(text, ""))
            for place, text in enumerate(HOSTILE)
        ]
    )
    page = open_page()
    cells = page.locator("tbody td.model").all_inner_texts()
    assert cells[:2] == HOSTILE[:2]
    assert cells[2] == "\\u{202e}gnp.exe\\u{202c} \\u{0}\\u{7}"
    assert cells[4] == HOSTILE[4]
    for place in range(len(HOSTILE)):
        page.get_by_role("button", name="Details").nth(place).click()
        for form in ("List", "JSON"):
            page.get_by_role("tab", name=form).click()
            expect(page.locator(f"#{form.lower()}")).to_be_visible()
        page.keyboard.press("Escape")
    page.locator("[name=model]").focus()
    expect(page.locator("#models option")).to_have_count(len(HOSTILE))
    assert page.title() == "Requests · LLM Gateway Exporter"
    assert page.locator("img, tbody script").count() == 0
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0


def test_a_mistake_is_told_and_can_be_mended(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(2))
    page = open_page("/requests?range=all&status=77")
    expect(page.get_by_role("alert")).to_contain_text("status: expected a code")
    page.locator("[name=status]").fill("200")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize("name", ["3y", "constructor", ""])
def test_a_range_that_is_none_is_the_last_hour(open_page: OpenPage, name: str) -> None:
    page = open_page(f"/requests?range={name}")
    expect(page.locator("[name=range]")).to_have_value("1h")


def test_a_server_that_is_gone_is_told(log: Logging, served: Served, open_page: OpenPage) -> None:
    log.write(*some(2))
    page = open_page()
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_an_empty_log_says_so(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#empty")).to_contain_text("Nothing is logged yet")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()


def test_the_usual_columns_fit_a_laptop(log: Logging, open_page: OpenPage) -> None:
    uuid = "e2f674e9-ca8a-4e6e-b70e-3c8bc40f41ab"
    tokens = {"total_tokens": 1442, "input_tokens": 1287, "output_tokens": 155}
    times = {"latency": 0.4348, "time_to_first_token": 0.3372}
    log.write(
        a_request(uuid, model="text-embedding-v4", attributes=("", ""), **tokens, **times),
        a_request(
            uuid, status_code=400, error_type="ContentPolicyViolationError", attributes=("", "")
        ),
    )
    page = open_page(viewport={"width": 1280, "height": 760})
    table = page.locator(".scroll")
    assert table.evaluate("table => table.scrollWidth - table.clientWidth") == 0


def test_the_page_fits_a_phone(log: Logging, open_page: OpenPage) -> None:
    log.write(*some(5))
    page = open_page(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Details").first.click()
    assert page.locator("#panel").bounding_box()["width"] <= 360  # type: ignore[index]


def test_the_page_allows_nothing_from_elsewhere(served: Served) -> None:
    policy = served.ask("/requests").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
