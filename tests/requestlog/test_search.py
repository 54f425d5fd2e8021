"""What is found, compared with a list in memory."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.record import Record
from exporter.requestlog import blocks, names
from exporter.requestlog.columns import BLOCK_ROWS
from exporter.requestlog.day import MOST_SMALL_BLOCKS
from exporter.requestlog.filter import ERROR, SUCCESS, Filter
from exporter.requestlog.request import LoggedRequest
from tests.requestlog.logging_requests import DAY_S, NOON, Logging, a_request, ids

MINUTE_US = 60_000_000


def us(time_s: float) -> int:
    return round(time_s * 1e6)


def some_requests(count: int, seed: int, days: float = 3) -> list[Record]:
    """Out of order, with equal times among them."""
    draw = random.Random(seed)
    return [
        a_request(
            f"request-{seed}-{number}",
            NOON - round(draw.random() * days * 86400 / 60) * 60,
            model=draw.choice(["qwen", "glm", "kimi"]),
            status=draw.choice([200, 200, 200, 404, 429, 503]),
            streamed=draw.random() < 0.5,
            provider=draw.choice(["dashscope", "openai"]),
            attributes=(draw.choice(["red", "blue", ""]),),
            latency=draw.choice([float("nan"), 0.0, 0.5, 1.0, 2.0]),
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Logging, list[Record]]:
    log = Logging(tmp_path_factory.mktemp("requests"), attributes=["team"])
    records: list[Record] = []
    for seed, count in enumerate([1, 3000, 10, 40, 2500, 1, 1]):
        batch = some_requests(count, seed)
        log.write(*batch, source=["edge", "inner"][seed % 2])
        records += [r._replace(trace_id=["edge", "inner"][seed % 2]) for r in batch]
    return log, records  # The trace id of the list's records is their source.


def expected(records: list[Record], wants: Callable[[Record], bool]) -> list[str]:
    return sorted(r.request_id for r in records if wants(r))


def all_pages(
    log: Logging, wanted: Filter, limit: int, budget_s: float = 5.0
) -> list[LoggedRequest]:
    found: list[LoggedRequest] = []
    page = log.search.page(wanted, limit, budget_s=budget_s)
    found += page.requests
    while page.next is not None:
        page = log.search.page(wanted, limit, page.next, budget_s)
        found += page.requests
    return found


FILTERS: dict[str, tuple[Filter, Callable[[Record], bool]]] = {
    "all": (Filter(), lambda r: True),
    "a model": (Filter(models=["glm"]), lambda r: r.kind.model == "glm"),
    "two models": (Filter(models=["glm", "qwen"]), lambda r: r.kind.model in ("glm", "qwen")),
    "a code": (Filter(statuses=["429"]), lambda r: r.kind.status_code == 429),
    "a class": (Filter(statuses=["4xx"]), lambda r: 400 <= r.kind.status_code < 500),
    "errors": (Filter(statuses=[ERROR]), lambda r: r.kind.status_code >= 400),
    "successes": (Filter(statuses=[SUCCESS]), lambda r: r.kind.status_code == 200),
    "a provider": (Filter(providers=["openai"]), lambda r: r.kind.provider == "openai"),
    "an error type": (Filter(error_types=["503"]), lambda r: r.kind.error_type == "503"),
    "streamed": (Filter(streamed=True), lambda r: r.kind.streamed),
    "not streamed": (Filter(streamed=False), lambda r: not r.kind.streamed),
    "a source": (Filter(sources=["inner"]), lambda r: r.trace_id == "inner"),
    "an attribute": (
        Filter(attributes={"team": ["red"]}), lambda r: r.kind.attributes == ("red",)
    ),
    "an unknown attribute": (
        Filter(attributes={"team": [""]}), lambda r: r.kind.attributes == ("",)
    ),
    "an attribute nobody has": (Filter(attributes={"moon": ["full"]}), lambda r: False),
    "latency from one second, and just that": (
        Filter(min_latency=100_000), lambda r: (r.latency or 0) >= 1
    ),
    "latency above one second": (Filter(min_latency=100_001), lambda r: (r.latency or 0) > 1),
    "a time range with both ends": (
        Filter(us(NOON - 90_000), us(NOON - 60_000)),
        lambda r: NOON - 90_000 <= (r.start_time or 0) <= NOON - 60_000,
    ),
    "all together": (
        Filter(
            us(NOON - 2 * DAY_S), us(NOON), models=["kimi"], statuses=["5xx"], min_latency=1,
            attributes={"team": ["blue"]},
        ),
        lambda r: (r.start_time or 0) >= NOON - 2 * DAY_S and r.kind.model == "kimi"
        and r.kind.status_code == 503 and (r.latency or 0) > 0 and r.kind.attributes == ("blue",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("limit", [7, 1000])
def test_pages_hold_each_match_once_and_newest_first(
    written: tuple[Logging, list[Record]], name: str, limit: int
) -> None:
    log, records = written
    wanted, wants = FILTERS[name]
    if limit == 7:
        wanted_records = [r for r in records if wants(r)]
        limit = max(7, len(wanted_records) // 20)
    found = all_pages(log, wanted, limit)
    assert sorted(map(str, ids(found))) == expected(records, wants)
    times = [request.start_time for request in found]
    assert times == sorted(times, reverse=True)


def test_summaries_of_blocks_are_made_a_few_at_a_time(
    written: tuple[Logging, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, records = written
    monkeypatch.setattr(blocks, "SUMMARIES", 1)
    found = all_pages(log, Filter(), 100)
    assert sorted(map(str, ids(found))) == expected(records, lambda _: True)
    times = [request.start_time for request in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("name", FILTERS)
def test_an_export_holds_the_same_as_the_pages(
    written: tuple[Logging, list[Record]], name: str
) -> None:
    log, records = written
    wanted, wants = FILTERS[name]
    found = [r.request_id for table in log.search.export(wanted) for r in table.requests()]
    assert sorted(map(str, found)) == expected(records, wants)


@pytest.mark.parametrize("name", FILTERS)
def test_counts_count_what_the_pages_hold(written: tuple[Logging, list[Record]], name: str) -> None:
    log, records = written
    wanted, wants = FILTERS[name]
    counted = log.search.counts(wanted, budget_s=5)
    assert counted.kinds.total() == len(expected(records, wants))
    assert counted.searched_to == wanted.earliest


def test_a_search_without_time_comes_to_its_end_all_the_same(
    written: tuple[Logging, list[Record]],
) -> None:
    log, records = written
    wanted, wants = FILTERS["all together"]
    found = all_pages(log, wanted, 100, budget_s=0)
    assert sorted(map(str, ids(found))) == expected(records, wants)


def test_a_page_that_ran_out_of_time_says_how_far_it_looked(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    for hour in range(3):
        log.write(*[a_request(f"{hour}-{n}", NOON - hour * 3600) for n in range(BLOCK_ROWS)])
    page = log.search.page(Filter(), BLOCK_ROWS + 1, budget_s=0)
    assert set(ids(page.requests)) == {f"0-{n}" for n in range(BLOCK_ROWS)}
    assert us(NOON - 3600) < page.searched_to <= us(NOON)
    assert page.next is not None


def test_paging_skips_and_repeats_nothing_while_requests_arrive(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    before = [a_request(f"old-{n}", NOON - n % 5) for n in range(300)]
    log.write(*before)
    page = log.search.page(Filter(), 20)
    found = list(page.requests)
    arrived = 0
    while page.next is not None:
        log.write(*[a_request(f"new-{arrived + n}", NOON + 1 + n) for n in range(30)])
        arrived += 30
        page = log.search.page(Filter(), 20, page.next)
        found += page.requests
    assert len(found) == 300
    assert sorted(map(str, ids(found))) == sorted(r.request_id for r in before)


def test_an_export_holds_every_request_while_small_blocks_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging = Logging(tmp_path)
    wanted = [f"id-{number}" for number in range(20)]
    for request_id in wanted:
        logging.write(a_request(request_id))
    read, is_merging = blocks.read, False

    def read_after_a_merge(*arguments: Any) -> dict[int, bytes]:
        nonlocal is_merging
        if not is_merging:
            is_merging = True
            for _ in range(MOST_SMALL_BLOCKS):
                logging.write(a_request("later"))
            is_merging = False
        return read(*arguments)

    monkeypatch.setattr(blocks, "read", read_after_a_merge)
    exported = logging.search.export(Filter())
    assert [request.request_id for table in exported for request in table.requests()] == wanted


def test_an_export_of_a_moment_passes_over_the_rest_of_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Logging(tmp_path)
    batches = 20
    assert batches < MOST_SMALL_BLOCKS, "or some are merged"
    for number in range(batches):
        log.write(*(a_request(f"{number}-{each}", NOON + number) for each in range(3)))
    looked_at: list[blocks.Block] = []
    summaries = blocks.summaries

    def watched(*arguments: Any) -> Iterator[blocks.Block]:
        for block in summaries(*arguments):
            looked_at.append(block)
            yield block

    monkeypatch.setattr(blocks, "summaries", watched)
    for moment in (0, 7, batches - 1):
        looked_at.clear()
        wanted = Filter(earliest=us(NOON + moment), latest=us(NOON + moment))
        found = [r.request_id for table in log.search.export(wanted) for r in table.requests()]
        assert found == [f"{moment}-{each}" for each in range(3)]
        assert [block.first for block in looked_at] == [3 * moment]


def test_a_model_is_found_among_more_names_than_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "AT_ONCE", 2)
    log = Logging(tmp_path)
    log.write(*[a_request(f"{number}", model=f"model-{number}") for number in range(5)])
    for number in range(5):
        wanted = Filter(models=[f"model-{number}"])
        assert ids(log.search.page(wanted, 10).requests) == [f"{number}"]


def test_an_uncommitted_batch_is_not_shown(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("shown"))
    log.add(a_request("hidden"))
    log.log.commit(log.batch + 1)
    assert ids(log.search.page(Filter(), 10).requests) == ["shown"]
    assert log.find("hidden") == []
    assert log.search.counts(Filter()).kinds.total() == 1
    assert [r.request_id for t in log.search.export(Filter()) for r in t.requests()] == ["shown"]
    log.batch += 1
    assert len(log.search.page(Filter(), 10).requests) == 2


IDS = {
    "as it is": ("x-1", "x-1", True),
    "provider's prefix left out": ("chatcmpl-abcDEF", "abcDEF", True),
    "provider's prefix put before": ("abcDEF", "chatcmpl-abcDEF", True),
    "a UUID without its dashes": (
        "chatcmpl-0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5bd9cb469fa16570867728950e", True,
    ),
    "a UUID in capitals": (
        "0f8fad5b-d9cb-469f-a165-70867728950e", "0F8FAD5B-D9CB-469F-A165-70867728950E", True,
    ),
    "a part of it": ("abcdef", "bcde", False),
    "other case": ("abcdef", "ABCDEF", False),
    "with a line break, which is kept as a space": ("two\nlines", "two lines", True),
    "of another script": ("идент-💥", "идент-💥", True),
    "a UUID without some dashes, in capitals": (
        "req_0F8FAD5Bd9cb-469f-a16570867728950E", "0f8fad5b-d9cb-469f-a165-70867728950e", True,
    ),
    "a prefix alone": ("req_", "req_", True),
    "another one's prefix alone": ("chatcmpl-1", "chatcmpl-", False),
    "one letter": ("x", "x", True),
    "an id with half a surrogate pair": ("half-\ud800", "half-\ud800", True),
}  # fmt: skip


@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize("name", IDS)
def test_an_id_is_found(tmp_path: Path, name: str, is_indexed: bool) -> None:
    written, asked, is_found = IDS[name]
    log = Logging(tmp_path)
    others = [a_request(f"other-{n}", NOON) for n in range(BLOCK_ROWS)]
    log.write(*others[:500], a_request(written), *others[500:])
    if is_indexed:
        log.log.finish()
    found = log.find(asked)
    assert len(found) == is_found
    if found:
        assert found[0].request_id == written.replace("\n", " ").replace("\ud800", "?")


def test_an_id_of_several_requests_gives_all_of_them_newest_first(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("again", NOON - DAY_S), a_request("again", NOON), a_request("once", NOON))
    log.log.finish()
    log.restart()
    log.write(a_request("again", NOON + 1))
    found = log.find("again")
    assert [r.start_time[11:19] for r in found] == ["12:00:01", "12:00:00", "12:00:00"]


@pytest.mark.parametrize("is_indexed", [False, True])
def test_an_id_of_very_many_requests_is_paged_through_and_counted(
    tmp_path: Path, is_indexed: bool
) -> None:
    log = Logging(tmp_path)
    same = [a_request("same", NOON - n * 60) for n in range(2 * BLOCK_ROWS)]
    log.write(*same, *[a_request(f"other-{n}", NOON) for n in range(10)])
    if is_indexed:
        log.log.finish()
    found = all_pages(log, Filter(request_id="same"), 1000)
    assert ids(found) == ["same"] * len(same)
    times = [request.start_time for request in found]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times)
    assert log.search.counts(Filter(request_id="same")).kinds.total() == len(same)
    exported = [len(table) for table in log.search.export(Filter(request_id="same"))]
    assert sum(exported) == len(same)


def test_a_request_without_an_id_is_got_by_its_key(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request(""), a_request("other"))
    nameless = next(r for r in log.search.page(Filter(), 9).requests if r.request_id is None)
    assert log.search.get(nameless.key) == nameless
    assert log.search.get("2026-11-23:99") is None
    assert log.search.get("2026-13-23:0") is None
    assert log.search.get("../state:0") is None


def test_every_field_comes_back_in_its_unit(tmp_path: Path) -> None:
    log = Logging(tmp_path, attributes=["team", "key"], estimate_currency=lambda kind: "EUR")
    log.write(
        a_request(
            "id-1", NOON + 0.123456, trace_id="0af7", model="asked", response_model="answered",
            provider="openai", operation="chat", status=200, streamed=True, cache_hit=True,
            finish_reason="stop", currency="USD", attributes=("red", ""), latency=1.23456,
            time_to_first_token=0.1, input_tokens=10, output_tokens=0, total_tokens=10,
            cached_input_tokens=4, cache_creation_input_tokens=0, reasoning_output_tokens=0,
            images=1, seconds=2.5, characters=7, cost=0.000123, upstream_time=1.0,
        )
    )  # fmt: skip
    [found] = log.find("id-1")
    assert found == LoggedRequest(
        request_id="id-1", start_time="2026-11-23T12:00:00.123456Z", model="asked",
        total_tokens=10, input_tokens=10, output_tokens=0, time_to_first_token_ms=100.0,
        latency_ms=1234.56, status_code=200, error_type=None, response_model="answered",
        provider="openai", operation="chat", streamed=True, cache_hit=True, finish_reason="stop",
        cached_input_tokens=4, cache_creation_input_tokens=0, reasoning_output_tokens=0, images=1,
        seconds=2.5, characters=7, cost=0.000123, currency="USD", estimated_cost=None,
        estimate_currency="EUR", upstream_time_ms=1000.0, trace_id="0af7",
        attributes={"team": "red"}, source="log", key="2026-11-23:0",
    )  # fmt: skip


def test_unknown_is_null_and_zero_is_zero(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("zero", input_tokens=0, latency=0), a_request("unknown"))
    [zero], [unknown] = log.find("zero"), log.find("unknown")
    assert (zero.input_tokens, zero.latency_ms) == (0, 0.0)
    assert (unknown.input_tokens, unknown.latency_ms, unknown.trace_id) == (None, None, None)


def test_figures_beyond_what_is_stored_become_the_largest_one(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("huge", latency=1e9, input_tokens=1e12, cost=1e300))
    [huge] = log.find("huge")
    assert huge.latency_ms == pytest.approx(42_949_672.94)
    assert huge.input_tokens == 2**32 - 2
    assert huge.cost == pytest.approx(2**62 / 1e9)
