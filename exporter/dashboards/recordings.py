"""Recording rules for what would be slow over weeks: `rules/dashboards.rules.yaml`.

- `instance:…`: counters as they stood every five minutes, buckets of histograms every thirty,
  with all of their labels. Dashboards read these where the time range is longer than two days and
  they go back to its beginning, and the counters themselves otherwise (`variables`). The two ends
  of the range are read from the counters in any case, so that totals are as exact as ever; bars
  still add up to them, but each may begin and end up to five minutes early. Percentiles are of a
  range that begins and ends up to half an hour early. What an exporter counted in its first and its
  last minutes can be missed.
- `model:…:increase1m`: what was counted in each minute, from which the busiest minute is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from exporter import vocabulary as v
from exporter.alerting.labels import MODEL, PROVIDER, SUCCEEDED
from exporter.alerting.promql import Promql, binary, checked, number
from exporter.dashboards.amounts import MINUTE, STATE_CREATED, Amounts, Series
from exporter.dashboards.board import VariableBuilder, of_job
from exporter.dashboards.options import Options
from exporter.dashboards.panels import SOURCE
from exporter.vocabulary import Instrument

LEVEL = "instance:"
LONG_S = 2 * 86_400
"""Time ranges longer than this are read from the recordings."""

TOKENS_PER_MINUTE = "model:llm_gateway_tokens:increase1m"
REQUESTS_PER_MINUTE = "model:llm_gateway_requests:increase1m"

SOURCES: Mapping[str, Instrument] = {
    "requests": v.REQUESTS,
    "tokens": v.TOKENS,
    "duration": v.REQUEST_DURATION,
    "first_token": v.TIME_TO_FIRST_TOKEN,
}
"""What is read either way, by the variable that says which."""

RECORDED: Mapping[Instrument, str] = {
    instrument: f"${{{name}}}" for name, instrument in SOURCES.items()
}
"""Names of series with fewer samples, to be filled in by the variables."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One recording rule."""

    record: str
    expression: Promql


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together."""

    name: str
    interval: str
    rules: Sequence[Rule]


def groups(options: Options) -> list[Group]:
    """All rules."""
    return [
        Group("llm-gateway-dashboards-counters", "5m", _counters()),
        Group("llm-gateway-dashboards-buckets", "30m", _buckets()),
        Group("llm-gateway-dashboards-minutes", "1m", _minutes(options)),
    ]


def _counters() -> list[Rule]:
    requests = Series(v.REQUESTS.prometheus_name)
    return [
        # Most of these exist at zero for ever; one that is born later counts from zero, too.
        Rule(LEVEL + requests.name, binary(requests.select(), ">", number(0))),
        _copy(Series(v.TOKENS.prometheus_name)),
        _copy(Series(STATE_CREATED)),
        *(_copy(each.part(part)) for each in _HISTOGRAMS for part in ("_sum", "_count")),
    ]


def _buckets() -> list[Rule]:
    return [_copy(histogram.part("_bucket")) for histogram in _HISTOGRAMS]


_HISTOGRAMS = (
    Series(v.REQUEST_DURATION.prometheus_name, (SUCCEEDED,)),
    Series(v.TIME_TO_FIRST_TOKEN.prometheus_name),
)


def _copy(series: Series) -> Rule:
    return Rule(LEVEL + series.name, series.select())


def _minutes(options: Options) -> list[Rule]:
    amounts = Amounts(options, of_all=True)
    by = (options.job_label, MODEL, PROVIDER)
    return [
        Rule(TOKENS_PER_MINUTE, amounts.of(Series(v.TOKENS.prometheus_name), MINUTE, by)),
        Rule(REQUESTS_PER_MINUTE, amounts.of(Series(v.REQUESTS.prometheus_name), MINUTE, by)),
    ]


def document(options: Options) -> dict[str, object]:
    """The rules as Prometheus reads them."""
    return {
        "groups": [
            {
                "name": group.name,
                "interval": group.interval,
                "rules": [
                    {"record": rule.record, "expr": str(checked(rule.expression))}
                    for rule in group.rules
                ],
            }
            for group in groups(options)
        ]
    }


def variables(options: Options) -> list[VariableBuilder]:
    """Hidden ones, by which a dashboard finds out for itself where to read from.

    A time range that begins before the recordings do would lose its beginning: then, as for a short
    one, the counters themselves are read.
    """
    return [
        _source(name, instrument.prometheus_name, options) for name, instrument in SOURCES.items()
    ]


def _source(name: str, series: str, options: Options) -> VariableBuilder:
    recorded = Series(LEVEL + STATE_CREATED, (of_job(options),))
    there = f"last_over_time({recorded.select('1h', '${__range_s}s')})"
    is_long = f"vector(${{__range_s}}) > {LONG_S}"
    query = (
        f'label_replace(group({there}) and on () ({is_long}), "name", "{LEVEL}{series}", "", "")'
        f' or on () label_replace(vector(1), "name", "{series}", "", "")'
    )
    return (
        build.QueryVariable(name)
        .query(f"query_result({query})")
        .regex('/name="([^"]+)"/')
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(model.VariableHide.HIDE_VARIABLE)
        .current(model.VariableOption(selected=True, text=series, value=series))
    )
