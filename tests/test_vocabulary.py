import re

import pytest

from exporter import vocabulary as v
from exporter.vocabulary import INSTRUMENTS, Instrument, InstrumentKind, instruments

COUNTER, HISTOGRAM, GAUGE = InstrumentKind

DESIGNED = {
    "gen_ai.server.request.duration": (HISTOGRAM, "gen_ai_server_request_duration_seconds"),
    "gen_ai.server.time_to_first_token": (HISTOGRAM, "gen_ai_server_time_to_first_token_seconds"),
    "gen_ai.server.time_per_output_token": (
        HISTOGRAM,
        "gen_ai_server_time_per_output_token_seconds",
    ),
    "gen_ai.client.token.usage": (HISTOGRAM, "gen_ai_client_token_usage"),
    "llm_gateway.overhead.duration": (HISTOGRAM, "llm_gateway_overhead_duration_seconds"),
    "llm_gateway.requests": (COUNTER, "llm_gateway_requests_total"),
    "llm_gateway.tokens": (COUNTER, "llm_gateway_tokens_total"),
    "llm_gateway.cached_input_tokens": (COUNTER, "llm_gateway_cached_input_tokens_total"),
    "llm_gateway.cache_creation_input_tokens": (
        COUNTER,
        "llm_gateway_cache_creation_input_tokens_total",
    ),
    "llm_gateway.reasoning_output_tokens": (COUNTER, "llm_gateway_reasoning_output_tokens_total"),
    "llm_gateway.usage": (COUNTER, "llm_gateway_usage_total"),
    "llm_gateway.requests_without_usage": (COUNTER, "llm_gateway_requests_without_usage_total"),
    "llm_gateway.content_filtered": (COUNTER, "llm_gateway_content_filtered_total"),
    "llm_gateway.cost": (COUNTER, "llm_gateway_cost_total"),
    "llm_gateway.cache_hits": (COUNTER, "llm_gateway_cache_hits_total"),
}


def test_each_instrument_has_the_name_in_prometheus_that_the_design_gives() -> None:
    found = {each.name: (each.kind, each.prometheus_name) for each in INSTRUMENTS}
    assert found == DESIGNED


def test_each_gauge_has_the_name_in_prometheus_that_the_design_gives() -> None:
    assert {each.name: (each.kind, each.prometheus_name) for each in v.GAUGES} == {
        "llm_gateway.active_requests": (GAUGE, "llm_gateway_active_requests"),
        "llm_gateway.ratelimit.remaining": (GAUGE, "llm_gateway_ratelimit_remaining"),
    }


def test_a_counters_family_is_its_name_without_total() -> None:
    assert v.REQUESTS.prometheus_family == "llm_gateway_requests"
    assert v.REQUEST_DURATION.prometheus_family == v.REQUEST_DURATION.prometheus_name


@pytest.mark.parametrize(
    ("name", "unit", "family", "shown_unit"),
    [
        ("a.duration", "s", "a_duration_seconds", "seconds"),
        ("a.size", "By", "a_size_bytes", "bytes"),
        ("a.requests", "{request}", "a_requests", ""),
        ("a.cost", "", "a_cost", ""),
        ("a.run.seconds", "s", "a_run_seconds", "seconds"),
        ("a.b-c/d", "", "a_b_c_d", ""),
    ],
)
def test_the_unit_ends_the_name_where_it_is_one(
    name: str, unit: str, family: str, shown_unit: str
) -> None:
    instrument = Instrument(name, HISTOGRAM, unit, "")
    assert (instrument.prometheus_family, instrument.prometheus_unit) == (family, shown_unit)


def test_all_names_labels_and_texts_are_fit_to_be_exposed() -> None:
    for instrument in INSTRUMENTS:
        labels = [v.prometheus_label(name) for name in (*v.IDENTITY, *instrument.attributes)]
        assert len(set(labels)) == len(labels)
        for name in (instrument.prometheus_name, *labels):
            assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert not set(instrument.help) & set('\\"\n')


def test_histograms_have_increasing_bounds_and_counters_have_none() -> None:
    for instrument in INSTRUMENTS:
        assert list(instrument.buckets) == sorted(set(instrument.buckets))
        assert bool(instrument.buckets) is (instrument.kind is HISTOGRAM)
    assert v.REQUEST_DURATION.buckets[-1] == 655.36
    assert v.TIME_TO_FIRST_TOKEN.buckets[-5:] == (10, 20, 30, 60, 120)


def test_bounds_can_be_set_by_the_instruments_name() -> None:
    changed = instruments({"llm_gateway.overhead.duration": [1, 2.5]})
    for before, after in zip(INSTRUMENTS, changed, strict=True):
        if before is v.OVERHEAD:
            assert after.buckets == (1, 2.5)
            assert after.prometheus_name == before.prometheus_name
        else:
            assert after is before
