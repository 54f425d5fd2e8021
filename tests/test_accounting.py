"""Which series a request adds to, and what its labels may be."""

from itertools import product
from pathlib import Path

import pytest

from exporter import vocabulary as v
from exporter.accounting import Labelling
from exporter.prices import PRICED, Price, Prices
from exporter.record import Kind
from tests.counting import Counting, a_kind, a_record, counting, value_of

MODEL = "gen_ai_request_model"


def models(counted: Counting) -> dict[str, float]:
    """Requests by model."""
    found: dict[str, float] = {}
    for (name, labels), values in counted.series().items():
        if name == v.REQUESTS.name:
            model = dict(labels)[v.MODEL]
            found[model] = found.get(model, 0) + values[0]
    return found


def test_a_model_is_other_until_a_request_of_it_succeeded() -> None:
    with counting() as counted:
        failure, success = a_record(a_kind(status=404)), a_record()
        assert counted.commit([failure]) == {MODEL: 1}
        assert models(counted) == {"other": 1}
        assert counted.commit([success]) == {}
        assert models(counted) == {"other": 1, "qwen": 1}
        assert counted.commit([failure]) == {}
        assert models(counted) == {"other": 1, "qwen": 2}


def test_a_failure_beside_the_first_success_has_its_models_name() -> None:
    with counting() as counted:
        assert counted.commit([a_record(a_kind(status=500)), a_record()]) == {}
        assert models(counted) == {"qwen": 2}


def test_a_client_that_went_away_does_not_make_a_model_known() -> None:
    with counting() as counted:
        counted.commit([a_record(a_kind(error_type="client_aborted"))])
        assert models(counted) == {"other": 1}


def test_a_configured_model_has_its_name_from_its_first_failure() -> None:
    with counting(None, Labelling(models=("qwen",), limit=1)) as counted:
        assert counted.commit([a_record(a_kind(status=500)), a_record(a_kind("late"))]) == {
            MODEL: 1
        }
        assert models(counted) == {"qwen": 1, "other": 1}


def test_models_beyond_the_limit_are_other() -> None:
    with counting(None, Labelling(limit=2)) as counted:
        for _ in range(2):
            folded = counted.commit([a_record(a_kind(f"model-{number}")) for number in range(5)])
            assert folded == {MODEL: 3}
        assert models(counted) == {"model-0": 2, "model-1": 2, "other": 6}


def test_ten_thousand_invented_names_cost_one_set_of_series() -> None:
    def junk(count: int) -> list[Kind]:
        return [a_kind(f"junk-{number}", 404) for number in range(count)]

    with counting() as counted, counting() as one:
        one.commit([a_record(kind, latency=1) for kind in junk(1)])
        for _ in range(2):
            folded = counted.commit([a_record(kind, latency=1) for kind in junk(10_000)])
            assert folded == {MODEL: 10_000}
            counted.kinds.clear()
        assert counted.series().keys() == one.series().keys()
        assert models(counted) == {"other": 20_000}
        assert counted.value(v.REQUEST_DURATION) == 20_000


def test_a_name_that_nobody_logged_is_unknown() -> None:
    with counting() as counted:
        counted.commit([a_record(a_kind("", provider="", operation=""))])
        unknown = {"gen_ai_request_model": "unknown", "gen_ai_provider_name": "unknown"}
        assert counted.value(v.REQUESTS, gen_ai_operation_name="unknown", **unknown) == 1


@pytest.mark.parametrize("label", ["gen_ai.provider.name", "gen_ai.operation.name", "team"])
def test_each_label_is_limited_by_itself(label: str) -> None:
    def kind(number: int) -> Kind:
        value = f"value-{number}"
        return {
            "gen_ai.provider.name": a_kind(provider=value, attributes=("core",)),
            "gen_ai.operation.name": a_kind(operation=value, attributes=("core",)),
            "team": a_kind(attributes=(value,)),
        }[label]

    with counting(None, Labelling(attributes=("team",), limit=2)) as counted:
        folded = counted.commit([a_record(kind(number)) for number in range(5)] * 2)
        assert folded == {v.prometheus_label(label): 6}
        name = label.replace(".", "_")
        shown = {
            value: counted.value(v.REQUESTS, **{name: value}) for value in ("value-1", "other")
        }
        assert shown == {"value-1": 2, "other": 6}
        assert counted.value(v.REQUESTS, **{name: "value-2"}) is None


def test_combinations_of_attributes_are_limited_too(tmp_path: Path) -> None:
    labelling = Labelling(attributes=("team", "route", "key"), limit=10)
    kinds = [
        a_kind(attributes=(f"team-{team}", f"route-{route}", f"key-{key}"))
        for team, route, key in product(range(10), repeat=3)
    ]
    for run in (1, 2):
        with counting(tmp_path, labelling) as counted:
            folded = counted.commit([a_record(kind) for kind in kinds])
            assert folded == {"team": 500, "route": 500, "key": 500}
            assert models(counted) == {"qwen": 1000 * run}
            assert counted.value(v.REQUESTS, team="team-4") == 100 * run
            assert counted.value(v.REQUESTS, team="team-5") is None
            assert counted.value(v.REQUESTS, team="other", route="other") == 500 * run


def test_error_types_and_currencies_are_limited_too() -> None:
    with counting(None, Labelling(limit=2, statuses=())) as counted:
        records = [
            a_record(a_kind(status=500, error_type=f"error-{n}"), latency=1) for n in range(5)
        ]
        records += [a_record(a_kind(currency=f"currency-{n}"), cost=1) for n in range(4)]
        assert counted.commit(records) == {"error_type": 3, "currency": 2}
        assert counted.value(v.REQUESTS, error_type="error-1") == 1
        assert counted.value(v.REQUESTS, error_type="other") == 3
        assert counted.value(v.REQUEST_DURATION, error_type="other") == 3
        assert counted.value(v.COST, currency="currency-1") == 1
        assert counted.value(v.COST, currency="other") == 2


def test_a_folded_request_is_counted_once_a_label() -> None:
    with counting(None, Labelling(attributes=("team",), limit=1)) as counted:
        strange = a_record(a_kind("junk", 500, attributes=("b",)))
        assert counted.commit([a_record(a_kind(attributes=("a",)))]) == {}
        assert counted.commit([strange, strange]) == {MODEL: 2, "team": 2}


def test_names_keep_their_places_after_a_restart(tmp_path: Path) -> None:
    labelling = Labelling(attributes=("team",), limit=2, statuses=(200, 500))
    kinds = [a_kind(f"model-{n}", attributes=(f"team-{n}",)) for n in range(2)]
    failures = [a_kind("model-1", 500, "late", attributes=("team-0",))]
    with counting(tmp_path, labelling) as counted:
        counted.commit([a_record(kind) for kind in kinds])
    with counting(tmp_path, labelling) as counted:
        newcomer = a_kind("model-2", attributes=("team-2",))
        folded = counted.commit([a_record(kind) for kind in (newcomer, *kinds, *failures)])
        assert folded == {MODEL: 1, "team": 1}
        assert models(counted) == {"model-0": 2, "model-1": 3, "other": 1}


def test_usual_errors_take_their_room_in_every_run(tmp_path: Path) -> None:
    labelling = Labelling(limit=2, statuses=(200, 429, 500))
    teapot = a_record(a_kind(status=418, error_type="teapot"))
    for _ in range(2):
        with counting(tmp_path, labelling) as counted:
            assert counted.commit([a_record(), teapot]) == {"error_type": 1}


def test_a_lower_limit_takes_nobodys_place_away(tmp_path: Path) -> None:
    kinds = [a_kind(f"model-{n}") for n in range(4)]
    with counting(tmp_path) as counted:
        counted.commit([a_record(kind) for kind in kinds])
    with counting(tmp_path, Labelling(limit=1)) as counted:
        assert counted.commit([a_record(kind) for kind in kinds]) == {}


def test_counting_goes_on_when_the_kinds_are_forgotten() -> None:
    with counting() as counted:
        counted.commit([a_record(a_kind("a")), a_record(a_kind("b", 500))])
        counted.kinds.clear()
        counted.commit([a_record(a_kind("b", 500)), a_record(a_kind("c")), a_record(a_kind("a"))])
        assert models(counted) == {"a": 2, "c": 1, "other": 2}


def test_counters_of_a_known_model_begin_at_zero() -> None:
    with counting(None, Labelling(statuses=(200, 429, 503))) as counted:
        counted.commit([a_record(input_tokens=5, output_tokens=1)])
        for status, error_type in (("429", "429"), ("503", "503")):
            found = counted.value(
                v.REQUESTS, http_response_status_code=status, error_type=error_type
            )
            assert found == 0
        for instrument in (v.REQUESTS_WITHOUT_USAGE, v.CONTENT_FILTERED, v.CACHED_INPUT_TOKENS):
            assert counted.value(instrument, gen_ai_request_model="qwen") == 0
        assert counted.value(v.TOKENS, gen_ai_token_type="input") == 5
        assert counted.value(v.REASONING_OUTPUT_TOKENS) is None


def test_an_outcome_of_one_model_begins_at_zero_for_the_next(tmp_path: Path) -> None:
    with counting(tmp_path) as counted:
        counted.commit([a_record(), a_record(a_kind(status=418, error_type="teapot"))])
        counted.commit([a_record(a_kind("second"))])
        assert counted.value(v.REQUESTS, gen_ai_request_model="second", error_type="teapot") == 0
    with counting(tmp_path) as counted:
        counted.commit([a_record(a_kind("third"))])
        assert counted.value(v.REQUESTS, gen_ai_request_model="third", error_type="teapot") == 0


def test_a_hundred_kinds_of_errors_are_not_a_hundred_series_of_each_model() -> None:
    with counting() as counted:
        errors = [a_kind(status=500, error_type=f"error-{n}") for n in range(100)]
        counted.commit([a_record(kind) for kind in (a_kind(), *errors)])
        counted.commit([a_record(a_kind("second"))])
        second = [
            labels
            for name, labels in counted.series()
            if name == v.REQUESTS.name and (v.MODEL, "second") in labels
        ]
        assert len(second) == 32


def test_moderation_is_seen_in_error_types_and_finish_reasons() -> None:
    with counting(None, Labelling(limit=1)) as counted:
        kinds = [
            a_kind(finish_reason="content_filter"),
            a_kind(status=400, error_type="timeout"),
            a_kind(status=400, error_type="ContentPolicyViolationError"),
            a_kind(finish_reason="stop"),
        ]
        counted.commit([a_record(kind) for kind in kinds])
        assert counted.value(v.CONTENT_FILTERED) == 2


def test_usage_is_in_the_unit_that_the_operation_is_billed_in() -> None:
    with counting() as counted:
        counted.commit(
            [
                a_record(input_tokens=5, output_tokens=2),
                a_record(a_kind(operation="image_generation"), images=3),
                a_record(a_kind(operation="video_generation"), seconds=7),
                a_record(a_kind(operation="speech"), characters=11),
                a_record(a_kind(operation="transcription"), seconds=13, input_tokens=17),
            ]
        )
        usage = {
            ("token", "text"): 7.0,
            ("image", "image"): 3,
            ("second", "video"): 7,
            ("character", "audio"): 11,
            ("second", "audio"): 13,
            ("token", "audio"): 17,
        }
        series = counted.series()
        for (unit, modality), expected in usage.items():
            assert value_of(series, v.USAGE, unit=unit, modality=modality) == expected
        assert value_of(series, v.USAGE) == sum(usage.values())


def test_costs_say_their_currency_and_where_they_are_from() -> None:
    yuan = Price(("qwen*",), "CNY", tuple(float(name == "input_tokens") for name in PRICED))
    with counting(None, None, Prices([yuan])) as counted:
        counted.commit(
            [
                a_record(a_kind(currency="USD"), cost=0.5, input_tokens=9),
                a_record(a_kind(currency="USD"), input_tokens=3),
                a_record(a_kind("gpt"), input_tokens=3),
                a_record(a_kind("qwen-junk", 500), input_tokens=2),
            ]
        )
        series = counted.series()
        assert value_of(series, v.COST, currency="USD", source="reported") == 0.5
        estimated = {"currency": "CNY", "source": "estimated"}
        assert value_of(series, v.COST, gen_ai_request_model="qwen", **estimated) == 3
        assert value_of(series, v.COST, gen_ai_request_model="other", **estimated) == 2
        assert value_of(series, v.COST) == 5.5


def test_answers_from_the_cache_are_counted() -> None:
    with counting() as counted:
        counted.commit([a_record()] * 3 + [a_record(a_kind(cache_hit=True))] * 2)
        assert counted.value(v.CACHE_HITS) == 2


def test_an_attribute_that_is_added_begins_new_series_and_keeps_the_old(tmp_path: Path) -> None:
    with counting(tmp_path) as counted:
        counted.commit([a_record()])
    with counting(tmp_path, Labelling(attributes=("team",))) as counted:
        assert counted.unfit == []
        counted.commit([a_record(a_kind(attributes=("core",))), a_record(a_kind(attributes=("",)))])
        assert counted.value(v.REQUESTS, team="core") == 1
        assert counted.value(v.REQUESTS) == 3


def test_series_with_an_attribute_that_is_taken_away_are_dropped(tmp_path: Path) -> None:
    with counting(tmp_path, Labelling(attributes=("team",))) as counted:
        counted.commit([a_record(a_kind(attributes=("core",))), a_record(a_kind(attributes=("",)))])
    for seen in (1, 2):
        with counting(tmp_path) as counted:
            assert bool(counted.unfit) is (seen == 1)
            counted.commit([a_record()])
            assert counted.value(v.REQUESTS) == 1 + seen


def test_the_newest_requests_become_exemplars_of_their_buckets() -> None:
    with counting() as counted:
        streamed = a_kind(streamed=True)
        counted.commit(
            [
                a_record(streamed, "a", latency=0.5, time_to_first_token=0.1, start_time=100),
                a_record(streamed, "b", "trace", latency=0.6, start_time=200),
                a_record(streamed, "c", latency=0.64),
                a_record(streamed, "", latency=2),
                a_record(streamed, "d" * 110, latency=9),
                a_record(streamed, "e" * 111, latency=30),
                a_record(streamed, "f", "t" * 110, latency=90),
                a_record(streamed, "g", latency=1000, start_time=1e300),
            ]
        )
        found = {
            family.instrument.name: {
                bucket: (exemplar.request_id[:1], exemplar.trace_id, exemplar.value)
                for buckets in family.exemplars.values()
                for bucket, exemplar in buckets.items()
            }
            for family in counted.ledger.snapshot()
            if family.exemplars
        }
        bounds = v.REQUEST_DURATION.buckets
        assert found == {
            v.REQUEST_DURATION.name: {
                bounds.index(0.64): ("c", "", 0.64),
                bounds.index(10.24): ("d", "", 9),
                len(bounds): ("g", "", 1000),
            },
            v.TIME_TO_FIRST_TOKEN.name: {v.TIME_TO_FIRST_TOKEN.buckets.index(0.1): ("a", "", 0.1)},
        }


def test_an_exemplars_time_is_the_requests_end_where_it_is_sane() -> None:
    with counting() as counted:
        starts = (100, -500, 1e300, float("nan"))
        counted.commit(
            [a_record(request_id="x", latency=4.0**n, start_time=t) for n, t in enumerate(starts)]
        )
        (shown,) = (family.exemplars for family in counted.ledger.snapshot() if family.exemplars)
        times = [
            str(exemplar.timestamp) for buckets in shown.values() for exemplar in buckets.values()
        ]
        assert times == ["101.0", "nan", "nan", "nan"]
