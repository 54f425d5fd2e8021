import numpy as np
import pytest

from exporter.prices import PRICED, Price, Prices
from exporter.record import Kinds
from tests.counting import a_batch, a_kind, a_record


def a_price(*models: str, currency: str = "USD", **per_unit: float) -> Price:
    return Price(models, currency, tuple(per_unit.get(name, 0.0) for name in PRICED))


@pytest.fixture
def prices() -> Prices:
    return Prices(
        [
            a_price("qwen-plus", input_tokens=2, output_tokens=10, cached_input_tokens=-1.5),
            a_price("qwen-*", "wan", currency="CNY", input_tokens=1, images=100, seconds=7),
        ]
    )


def test_the_first_entry_that_fits_the_model_counts(prices: Prices) -> None:
    found = [prices.of(a_kind(model)) for model in ("qwen-plus", "qwen-max", "wan", "gpt")]
    assert [price and price.currency for price in found] == ["USD", "CNY", "CNY", None]


def test_the_model_that_answered_has_its_price_where_the_one_asked_for_has_none(
    prices: Prices,
) -> None:
    assert prices.of(a_kind("best", response_model="qwen-plus")) is prices.of(a_kind("qwen-plus"))
    assert prices.of(a_kind("qwen-max", response_model="qwen-plus")) is prices.of(a_kind("wan"))


def test_a_cost_is_the_sum_over_what_is_priced(prices: Prices) -> None:
    plus, failed = a_kind("qwen-plus"), a_kind("wan", 500)
    records = [
        a_record(plus, input_tokens=10, output_tokens=3),
        a_record(plus, input_tokens=10, output_tokens=3, cached_input_tokens=4),
        a_record(plus),
        a_record(a_kind("gpt"), input_tokens=10),
        a_record(a_kind("wan"), images=2, seconds=3),
        a_record(failed, input_tokens=5, images=2, seconds=3),
    ]
    cost = prices.estimate(a_batch(Kinds(), records))
    assert cost == pytest.approx([50, 44, 0, np.nan, 221, 5], nan_ok=True)


def test_kinds_that_come_later_and_after_a_clearing_have_their_prices(prices: Prices) -> None:
    kinds = Kinds()
    for model, cost in (("gpt", np.nan), ("qwen-plus", 2), ("wan", 1)):
        estimate = prices.estimate(a_batch(kinds, [a_record(a_kind(model), input_tokens=1)]))
        assert estimate == pytest.approx([cost], nan_ok=True)
    kinds.clear()
    assert prices.estimate(a_batch(kinds, [a_record(a_kind("wan"), input_tokens=1)])) == [1]


def test_without_a_list_nothing_is_estimated() -> None:
    assert Prices().estimate(a_batch(Kinds(), [a_record(input_tokens=1)])) is None
