"""Each number on the dashboards equals the truth, to the unit, whatever befell the exporters."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from exporter import vocabulary as v
from exporter.alerting.records import SETTLE_S
from exporter.record import TOKEN_OPERATIONS
from exporter.vocabulary import Instrument
from tests.dashboards import scenario
from tests.dashboards.built import DIRECTORY, NAMES, recordings
from tests.dashboards.grafana import Dashboard, Json, Span, points, samples
from tests.dashboards.history import Request, backfill, backfill_rules
from tests.dashboards.scenario import BEFORE, HOUR, RANGE, START
from tests.prometheus import Prometheus

ROW = ("gen_ai_provider_name", "gen_ai_request_model")

pytestmark = pytest.mark.timeout(300)


ROUTES = {
    "scraped": scenario.SCRAPES,
    "pushed": replace(
        scenario.SCRAPES,
        job="llm-gateway-exporter",
        extra={"otel_scope_name": "llm-gateway-exporter", "service_version": "1"},
        pushed=True,
    ),
}
"""Series that came by OTLP have labels more, another way to write `le`, and no `up`."""


@pytest.fixture(scope="module", params=ROUTES)
def prometheus(
    prometheus_program: Path,
    promtool: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Prometheus]:
    """Knows what happened in the scenario, and what the recording rules make of it."""
    directory = tmp_path_factory.mktemp("dashboards")
    data = directory / "data"
    backfill(promtool, ROUTES[request.param].lines(scenario.exporters()), data)
    backfill_rules(directory, recordings(), scenario.BEGAN, scenario.ENDED)
    with Prometheus(prometheus_program, directory, "{}") as server:
        yield server


@pytest.fixture(scope="module")
def analytics(prometheus: Prometheus) -> Dashboard:
    opened = Dashboard.load(DIRECTORY / "analytics.json", RANGE)
    return opened.resolve(prometheus)


# The truth, from the requests alone.


@cache
def requests(span: Span) -> tuple[Request, ...]:
    return tuple(scenario.seen(span))


def total(of: Iterable[Request], *names: str) -> float:
    values: Iterator[float] = (getattr(request, name) for request in of for name in names)
    return sum(value for value in values if not math.isnan(value))


def success_rate(of: Iterable[Request]) -> float:
    judged = [r for r in of if r.succeeded or r.failed]
    return sum(r.succeeded for r in judged) / len(judged)


def mean(of: Iterable[Request], name: str) -> float:
    values = [getattr(r, name) for r in of if r.succeeded and not math.isnan(getattr(r, name))]
    return math.fsum(values) / len(values)


def by(name: Callable[[Request], str], span: Span = RANGE) -> dict[str, list[Request]]:
    found: dict[str, list[Request]] = {}
    for request in requests(span):
        found.setdefault(name(request), []).append(request)
    return found


def hours(of: Iterable[Request]) -> dict[float, list[Request]]:
    """By the start of the hour in which they ended."""
    found: dict[float, list[Request]] = {START + h * HOUR: [] for h in range(4, 8)}
    for request in of:
        found[request.end // HOUR * HOUR].append(request)
    return found


# What the dashboard says.


def number(answer: list[Json]) -> float:
    (only,) = samples(answer).values()
    return only


def column(analytics: Dashboard, prometheus: Prometheus, title: str) -> dict[str, float]:
    """A column of the table of models, by model."""
    panel = analytics.panel("Models")
    (organize,) = (t for t in panel["transformations"] if t["id"] == "organize")
    names: Mapping[str, str] = organize["options"]["renameByName"]
    ref = next(key.removeprefix("Value #") for key, name in names.items() if name == title)
    (asked,) = (each for each in analytics.asked(panel) if each.ref == ref)
    return {
        dict(labels)[ROW[1]]: value for labels, value in samples(asked.answer(prometheus)).items()
    }


@pytest.mark.parametrize(
    ("title", "figure"),
    [
        ("Tokens", lambda of: total(of, "input_tokens", "output_tokens")),
        ("Requests", len),
        ("Average latency", lambda of: mean(of, "latency")),
    ],
)
def test_a_headline_is_the_truth_and_so_is_the_period_before(
    analytics: Dashboard,
    prometheus: Prometheus,
    title: str,
    figure: Callable[[Iterable[Request]], float],
) -> None:
    answers = analytics.answers(prometheus, title)
    assert number(answers["B"]) == pytest.approx(figure(requests(RANGE)), rel=1e-9)
    assert number(answers["A"]) == pytest.approx(figure(requests(BEFORE)), rel=1e-9)


def test_the_success_rate_is_a_ratio_of_sums_without_those_that_gave_up(
    analytics: Dashboard, prometheus: Prometheus
) -> None:
    rate = number(analytics.answers(prometheus, "Success rate")["A"])
    assert rate == pytest.approx(success_rate(requests(RANGE)), rel=1e-12)


@pytest.mark.parametrize(
    ("title", "figure"),
    [
        ("Calls", len),
        ("Success", success_rate),
        ("Errors", lambda of: sum(request.failed for request in of)),
        ("Latency", lambda of: mean(of, "latency")),
        ("Tokens in", lambda of: total(of, "input_tokens")),
        ("Tokens out", lambda of: total(of, "output_tokens")),
    ],
)
def test_each_cell_of_the_table_of_models_is_the_truth(
    analytics: Dashboard,
    prometheus: Prometheus,
    title: str,
    figure: Callable[[Iterable[Request]], float],
) -> None:
    shown = column(analytics, prometheus, title)
    for model, of in by(scenario.known_as).items():
        if title == "Latency" and model == "other":
            assert model not in shown  # None of them succeeded.
            continue
        assert shown.pop(model) == pytest.approx(figure(of), rel=1e-9), model
    assert not shown


def test_the_table_tells_the_mean_time_to_first_token_of_streamed_answers(
    analytics: Dashboard, prometheus: Prometheus
) -> None:
    shown = column(analytics, prometheus, "TTFT")
    for model, of in by(scenario.known_as).items():
        streamed = [request for request in of if not math.isnan(request.time_to_first_token)]
        if streamed:
            assert shown.pop(model) == pytest.approx(mean(streamed, "time_to_first_token"))
    assert not shown


@pytest.mark.parametrize(
    ("title", "name", "instrument"),
    [
        ("Latency p95", "latency", v.REQUEST_DURATION),
        ("TTFT p95", "time_to_first_token", v.TIME_TO_FIRST_TOKEN),
    ],
)
def test_a_quantile_lies_in_the_bucket_of_the_true_one(
    analytics: Dashboard, prometheus: Prometheus, title: str, name: str, instrument: Instrument
) -> None:
    shown = column(analytics, prometheus, title)
    for model, of in by(scenario.known_as).items():
        values = sorted(
            value for r in of if r.succeeded and not math.isnan(value := getattr(r, name))
        )
        if not values:
            assert model not in shown
            continue
        true = values[math.ceil(0.95 * len(values)) - 1]
        bounds = (0.0, *instrument.buckets, math.inf)
        upper = next(bound for bound in bounds if bound >= true)
        lower = bounds[bounds.index(upper) - 1]
        assert lower <= shown[model] <= upper, model


def test_the_busiest_minute_is_the_truth(analytics: Dashboard, prometheus: Prometheus) -> None:
    requests_a_minute, tokens_a_minute = (
        column(analytics, prometheus, title) for title in ("RPM peak", "TPM peak")
    )
    for model, of in by(scenario.known_as).items():
        if model in (
            "qwen-plus",
            "qwen-max",
            "gone",
            "born",
            "wan-image",
            "wan-video",
            "cosy-voice",
        ):
            continue  # Their exporter was away: what came meanwhile comes in one minute.
        # A recorded minute holds what the scrapes in it found: it begins with the scrape before.
        minutes: dict[float, float] = defaultdict(float)
        tokens: dict[float, float] = defaultdict(float)
        for request in of:
            minute = (request.end - scenario.SCRAPES.phase_s) // 60
            minutes[minute] += 1
            tokens[minute] += total([request], "input_tokens", "output_tokens")
        if model != "claude":  # Its first minute holds what came before its first scrape, too.
            assert requests_a_minute[model] == max(minutes.values()), model
            assert tokens_a_minute.get(model, 0) == max(tokens.values()), model


@pytest.mark.parametrize(
    ("split", "known_as"),
    [
        ("gen_ai_request_model", scenario.known_as),
        ("gen_ai_provider_name", lambda request: request.provider),
        ("team", lambda request: request.team),
    ],
)
def test_each_bar_of_tokens_is_the_truth_of_its_hour(
    prometheus: Prometheus, split: str, known_as: Callable[[Request], str]
) -> None:
    opened = Dashboard.load(DIRECTORY / "analytics.json", RANGE, split=split)
    bars = points(opened.resolve(prometheus).answers(prometheus, "Tokens by bucket")["A"])
    for name, of in by(known_as).items():
        shown = bars.pop(((split, name),), {})
        for hour, in_hour in hours(of).items():
            true = total(in_hour, "input_tokens", "output_tokens")
            assert shown.get(hour, 0) == true, (name, hour)
    assert not bars


def test_each_bar_of_a_type_of_token_is_the_truth_of_its_hour(
    analytics: Dashboard, prometheus: Prometheus
) -> None:
    answers = analytics.answers(prometheus, "Tokens by type")
    cached, written = "cached_input_tokens", "cache_creation_input_tokens"
    parts: dict[str, Callable[[Iterable[Request]], float]] = {
        "A": lambda of: total(of, "input_tokens") - total(of, cached, written),
        "B": lambda of: total(of, cached),
        "C": lambda of: total(of, written),
        "D": lambda of: total(of, "output_tokens") - total(of, "reasoning_output_tokens"),
        "E": lambda of: total(of, "reasoning_output_tokens"),
    }
    for ref, part in parts.items():
        (shown,) = points(answers[ref]).values()
        for hour, of in hours(requests(RANGE)).items():
            assert shown.get(hour, 0) == part(of), (ref, hour)


@pytest.mark.parametrize(
    ("title", "label", "name"),
    [
        ("Errors by status code", "http_response_status_code", lambda r: str(r.status_code)),
        ("Errors by type", "error_type", lambda r: r.error_type),
    ],
)
def test_each_bar_of_errors_is_the_truth_of_its_hour(
    analytics: Dashboard,
    prometheus: Prometheus,
    title: str,
    label: str,
    name: Callable[[Request], str],
) -> None:
    bars = points(analytics.answers(prometheus, title)["A"])
    failed: dict[str, list[Request]] = {}
    for request in requests(RANGE):
        if request.failed:
            failed.setdefault(name(request), []).append(request)
    assert {dict(labels)[label] for labels in bars} == set(failed)
    for key, of in failed.items():
        shown = bars[((label, key),)]
        for hour, in_hour in hours(of).items():
            assert shown.get(hour, 0) == len(in_hour), (key, hour)


def test_usage_is_the_truth_in_each_unit(analytics: Dashboard, prometheus: Prometheus) -> None:
    shown = samples(analytics.answers(prometheus, "Usage")["A"])
    used = {
        (dict(labels)["gen_ai_operation_name"], dict(labels)["unit"]): value
        for labels, value in shown.items()
    }
    of = requests(RANGE)
    whole = [request for request in of if request.succeeded]
    assert used == {
        ("chat", "token"): total(of, "input_tokens", "output_tokens"),
        ("image_generation", "image"): total(whole, "images"),
        ("video_generation", "second"): total(whole, "seconds"),
        ("speech", "character"): total(whole, "characters"),
    }


def test_cost_and_cache_hits_and_missing_usage_are_the_truth(
    analytics: Dashboard, prometheus: Prometheus
) -> None:
    of = requests(RANGE)
    cost = number(analytics.answers(prometheus, "Cost")["A"])
    assert cost == pytest.approx(total(of, "cost"), rel=1e-9)
    hits = analytics.answers(prometheus, "Answered from the gateway's cache")["A"]
    (shown,) = points(hits).values()
    assert sum(shown.values()) == sum(request.cache_hit for request in of)
    unusual = analytics.answers(prometheus, "Without usage, refused")
    without = [
        request
        for request in of
        if request.succeeded
        and request.operation in TOKEN_OPERATIONS
        and math.isnan(request.input_tokens)
        and not request.cache_hit
    ]
    (shown,) = points(unusual["A"]).values()
    assert sum(shown.values()) == len(without)
    (shown,) = points(unusual["B"]).values()
    assert sum(shown.values()) == 1


def test_a_long_range_reads_the_recordings_and_they_are_the_truth(
    analytics: Dashboard, prometheus: Prometheus
) -> None:
    opened = Dashboard.load(DIRECTORY / "analytics.json", Span(START - 30 * HOUR, RANGE.end))
    assert opened.resolve(prometheus).picks["tokens"] == "llm_gateway_tokens_total", (
        "the recordings do not go back to the range's beginning"
    )
    recorded = {
        name: f"instance:{series}"
        for name, series in (
            ("requests", "llm_gateway_requests_total"),
            ("tokens", "llm_gateway_tokens_total"),
            ("duration", "gen_ai_server_request_duration_seconds"),
            ("first_token", "gen_ai_server_time_to_first_token_seconds"),
        )
    }
    opened = Dashboard.load(DIRECTORY / "analytics.json", RANGE, **recorded)
    answers = opened.answers(prometheus, "Tokens")
    assert number(answers["A"]) == total(requests(BEFORE), "input_tokens", "output_tokens")
    shown = column(opened, prometheus, "Calls")
    for model in ("qwen-plus", "born", "once", "gone"):
        assert shown[model] == len(by(scenario.known_as)[model]), model
    for title in ("Latency p95", "TTFT p95"):
        shown, exact = column(opened, prometheus, title), column(analytics, prometheus, title)
        for model in ("qwen-plus", "qwen-max", "deepseek-v3"):
            assert shown[model] == pytest.approx(exact[model], rel=0.1), (title, model)


@pytest.mark.parametrize(("earliest", "bucket_s"), [("now/d", 6 * HOUR), ("now-6h/h", HOUR)])
def test_a_number_is_the_sum_of_its_bars_in_a_range_that_goes_on(
    prometheus: Prometheus, earliest: str, bucket_s: int
) -> None:
    span = Span.told(earliest, "now/m", RANGE.end)
    opened = Dashboard.load(DIRECTORY / "analytics.json", span, granularity=str(bucket_s))
    opened = opened.resolve(prometheus)
    (bars,) = points(opened.answers(prometheus, "Requests over time")["A"]).values()
    assert number(opened.answers(prometheus, "Requests")["B"]) == sum(bars.values()) > 0


EMPTY_FOR_A_REASON = {
    "Firing and pending": "nothing fires",
    "Alerts over time": "nothing fired",
    "Rejected lines by reason": "no line is rejected",
    "Failed commits": "none fails",
    "Workers down": "there are none",
    "Up": "what was pushed is not scraped",
    "State": "no state was corrupt",
    "Trouble with files": "there is none",
    "Web requests refused": "none is",
    "Requests not logged": "all are logged",
    "OTLP: failed and refused": "none is",
    "Pushes": "nothing is pushed",
    "Passed through the proxy": "there is no proxy",
    "The proxy's upstream": "there is no proxy",
    "Trouble in the proxy": "there is no proxy",
    "Requests under way": "there is no proxy",
    "Left of the rate limits": "there is no proxy",
}


@pytest.mark.parametrize("name", ["analytics", "model", "alerts", "exporter"])
def test_no_query_fails_and_none_is_empty_that_should_not_be(
    prometheus: Prometheus, name: str
) -> None:
    picks = {"one_model": "qwen-max"} if name == "model" else {}
    opened = Dashboard.load(DIRECTORY / f"{name}.json", RANGE, **picks).resolve(prometheus)
    empty = {
        panel["title"]
        for panel in opened.panels()
        for asked in opened.asked(panel)
        if not asked.answer(prometheus)
    }
    assert empty <= EMPTY_FOR_A_REASON.keys()


@pytest.mark.parametrize("name", ["alerts", "exporter"])
def test_what_is_so_now_is_shown_in_every_range_that_reaches_to_now(
    prometheus: Prometheus, name: str
) -> None:
    """Links between dashboards carry the time range along."""
    now = RANGE.end
    for each in NAMES:
        board = json.loads((DIRECTORY / f"{each}.json").read_text())
        for picked in (board["time"], *board["timepicker"]["quick_ranges"]):
            span = Span.told(picked["from"], picked["to"], now)
            opened = Dashboard.load(DIRECTORY / f"{name}.json", span)
            empty = {
                panel["title"]
                for panel in opened.panels()
                for asked in opened.asked(panel)
                if not asked.step_s and not asked.answer(prometheus)
            }
            assert span.end < now or empty <= EMPTY_FOR_A_REASON.keys(), picked


@pytest.mark.parametrize("name", ["analytics", "model", "alerts", "exporter"])
def test_every_variable_offers_what_there_is(prometheus: Prometheus, name: str) -> None:
    opened = Dashboard.load(DIRECTORY / f"{name}.json", RANGE, one_model="gpt-4o")
    offered = opened.choices(prometheus)
    assert all(offered.values())
    if name == "model":
        assert offered["provider"] == ["openai"]
    elif "model" in offered:
        assert offered["model"] == sorted(by(scenario.known_as))


def test_without_requests_there_is_no_success_rate_rather_than_none_or_nan(
    prometheus: Prometheus,
) -> None:
    quiet = Span(START + 7 * HOUR, START + 8 * HOUR)
    opened = Dashboard.load(DIRECTORY / "analytics.json", quiet, model=("once",))
    opened = opened.resolve(prometheus)
    assert number(opened.answers(prometheus, "Requests")["B"]) == 0
    assert opened.answers(prometheus, "Success rate")["A"] == []
    assert opened.answers(prometheus, "Average latency")["B"] == []
    assert column(opened, prometheus, "Calls") == {"once": 0}
    for title in ("Success", "Latency", "Latency p95"):
        assert column(opened, prometheus, title) == {}, title


def test_one_request_only_is_one_request(prometheus: Prometheus) -> None:
    hour = Span(START + 6 * HOUR, START + 7 * HOUR)
    opened = Dashboard.load(DIRECTORY / "analytics.json", hour, model=("once",))
    opened = opened.resolve(prometheus)
    assert number(opened.answers(prometheus, "Requests")["B"]) == 1
    assert number(opened.answers(prometheus, "Tokens")["B"]) == 41 + 17
    assert number(opened.answers(prometheus, "Average latency")["B"]) == 2
    assert number(opened.answers(prometheus, "Success rate")["A"]) == 1
    assert column(opened, prometheus, "RPM peak") == {"once": 1}


def test_before_there_was_anything_nothing_is_shown(prometheus: Prometheus) -> None:
    early = Span(START - 20 * HOUR, START - 16 * HOUR)
    opened = Dashboard.load(DIRECTORY / "analytics.json", early).resolve(prometheus)
    for title in ("Tokens", "Requests", "Average latency", "Success rate", "Newest data"):
        assert not any(opened.answers(prometheus, title).values()), title


def test_what_is_left_of_an_error_budget_is_the_truth(prometheus: Prometheus) -> None:
    opened = Dashboard.load(DIRECTORY / "alerts.json", RANGE, model=("gpt-4o",))
    answers = opened.answers(prometheus, "Objectives")
    of = [request for request in requests(RANGE) if request.model == "gpt-4o"]
    known_until = last_evaluation(prometheus, "slo:llm_gateway_error_budget:left")
    counted = [request for request in of if request.end <= known_until]
    assert number(answers["A"]) == 0.995
    assert number(answers["B"]) == pytest.approx(1 - (1 - success_rate(counted)) / 0.005)
    known_until = last_evaluation(prometheus, "slo:llm_gateway_error_budget:burn_rate")
    hour = [request for request in of if known_until - HOUR < request.end <= known_until]
    assert number(answers["C"]) == pytest.approx((1 - success_rate(hour)) / 0.005)


def last_evaluation(prometheus: Prometheus, record: str) -> float:
    """When the last scrape was that a record can know of."""
    (of_record, *_) = prometheus.query(f"timestamp({record})", RANGE.end)
    growth = "model:llm_gateway_failures:delta1m"
    (of_growth, *_) = prometheus.query(f"timestamp({growth})", of_record.value)
    phase_s = scenario.SCRAPES.phase_s
    return (of_growth.value - SETTLE_S - phase_s) // 60 * 60 + phase_s


def test_percentiles_of_a_model_lie_in_the_bucket_of_the_true_ones(prometheus: Prometheus) -> None:
    opened = Dashboard.load(DIRECTORY / "model.json", RANGE, one_model="gpt-4o")
    answers = opened.answers(prometheus, "Latency")
    of = [r for r in requests(RANGE) if r.model == "gpt-4o" and r.succeeded]
    for ref, rank in {"B": 0.5, "C": 0.9, "D": 0.95, "E": 0.99}.items():
        (shown,) = points(answers[ref]).values()
        for hour, in_hour in hours(of).items():
            if not in_hour:
                assert hour not in shown
                continue
            true = sorted(r.latency for r in in_hour)[math.ceil(rank * len(in_hour)) - 1]
            bounds = (0.0, *v.REQUEST_DURATION.buckets)
            upper = next(bound for bound in bounds if bound >= true)
            assert bounds[bounds.index(upper) - 1] <= shown[hour] <= upper, (rank, hour)
