import math
from typing import Any

import numpy as np
import pytest

from exporter import tally as t
from exporter.record import Kinds, Record
from exporter.tally import Tally
from exporter.vocabulary import INSTRUMENTS, instruments
from tests.counting import a_batch, a_kind, a_record


def tallied(*records: Record) -> Tally:
    tally = Tally(INSTRUMENTS)
    tally.add(a_batch(Kinds(), records))
    return tally


def amount(number: int, *records: Record) -> float:
    return float(tallied(*records).amounts[:, number].sum())


def test_a_bucket_takes_values_up_to_its_bound() -> None:
    bounds = (1.0, 2.0, 4.0)
    tally = Tally(instruments({"gen_ai.server.request.duration": bounds}))
    values = (0, 0.5, 1, math.nextafter(1, 2), 2, 4, math.nextafter(4, 5), 1000)
    tally.add(a_batch(Kinds(), [a_record(latency=value) for value in values]))
    counts = tally.distributions[t.DURATION][0]
    assert counts.tolist() == [3, 2, 1, 2, pytest.approx(sum(values))]


@pytest.mark.parametrize("nothing", [math.nan, -1.0, -1e9])
def test_what_is_unknown_or_below_zero_adds_nothing(nothing: float) -> None:
    numbers: dict[str, Any] = dict.fromkeys(Record._fields[3:], 7.0) | {"latency": 9.0}
    whole = a_record()._replace(**numbers)
    nothings: dict[str, Any] = dict.fromkeys(numbers, nothing) | {"upstream_time": None}
    broken = whole._replace(**nothings)
    once, both = tallied(whole), tallied(whole, broken)
    assert both.amounts[0, t.REQUESTS] == 2
    assert both.amounts[0, t.WITHOUT_USAGE] == 1
    assert both.amounts[0, 1 : t.WITHOUT_USAGE].tolist() == [7] * 8
    assert both.amounts[0, t.COST_REPORTED] == 7
    for before, after in zip(once.distributions, both.distributions, strict=True):
        assert after.tolist() == before.tolist()
        assert before.any()


def test_a_time_per_output_token_needs_two_tokens() -> None:
    record = a_record(latency=5.0, time_to_first_token=1.0)
    records = [record._replace(output_tokens=tokens) for tokens in (0.0, 1.0, 2.0, 5.0, None)]
    counts = tallied(*records).distributions[t.OUTPUT_TOKEN][0]
    assert counts[:-1].sum() == 2
    assert counts[-1] == 4.0 + 1.0


def test_an_upstream_that_took_longer_than_all_is_no_overhead() -> None:
    tally = tallied(a_record(latency=1.0, upstream_time=1.5))
    assert tally.distributions[t.OVERHEAD][0].tolist()[:2] == [1, 0]
    assert tally.distributions[t.OVERHEAD][0, -1] == 0


def test_units_count_where_the_request_succeeded() -> None:
    success = a_record(images=2.0, seconds=3.0, characters=4.0)
    records = [success, success._replace(kind=a_kind(status=400))]
    assert amount(t.IMAGES, *records) == 2
    assert amount(t.SECONDS, *records) == 3
    assert amount(t.CHARACTERS, *records) == 4


@pytest.mark.parametrize(
    ("record", "is_without"),
    [
        (a_record(a_kind()), True),
        (a_record(a_kind(operation="embeddings")), True),
        (a_record(a_kind(), input_tokens=1), False),
        (a_record(a_kind(), output_tokens=0), False),
        (a_record(a_kind(status=500)), False),
        (a_record(a_kind(error_type="client_aborted")), False),
        (a_record(a_kind(cache_hit=True)), False),
        (a_record(a_kind(operation="image_generation")), False),
    ],
)
def test_a_success_that_should_use_tokens_is_without_usage(
    record: Record, is_without: bool
) -> None:
    assert amount(t.WITHOUT_USAGE, record) == is_without


def test_a_cost_is_estimated_where_none_is_reported() -> None:
    tally = Tally(INSTRUMENTS)
    unknown = math.nan
    batch = a_batch(Kinds(), [a_record(cost=cost) for cost in (3.0, 0.0, unknown, unknown)])
    tally.add(batch, np.array([5.0, 6.0, 7.0, unknown]))
    assert tally.amounts[0, [t.COST_REPORTED, t.COST_ESTIMATED]].tolist() == [3, 13]


def test_kinds_that_come_later_find_room_and_nothing_is_lost() -> None:
    tally, kinds = Tally(INSTRUMENTS), Kinds()
    for count in (1, 2, 3, 40, 41):
        models = [f"model-{number}" for number in range(count)]
        tally.add(a_batch(kinds, [a_record(a_kind(model), latency=1) for model in models]))
    assert tally.amounts[:, t.REQUESTS].tolist()[:42] == [5, 4, 3, *[2] * 37, 1, 0]
    assert tally.distributions[t.DURATION][:, :-1].sum() == 87
    assert tally.touched().tolist() == list(range(41))
    assert tally.records == 87


def test_a_cleared_tally_is_as_a_new_one() -> None:
    tally, kinds = Tally(INSTRUMENTS), Kinds()
    tally.add(a_batch(kinds, [a_record(latency=1)]))
    tally.clear()
    assert (tally.records, len(tally.touched())) == (0, 0)
    tally.add(a_batch(kinds, []))
    tally.add(a_batch(kinds, [a_record(latency=1)]))
    assert tally.amounts.sum() == 1 + 1  # a request, without usage
