"""Any valid definitions become rules that promtool accepts, and tests that pass."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.alerting.definitions import Definitions
from exporter.alerting.groups import groups_of
from exporter.alerting.metrics import BY_STATUS, METRICS, Quantile, Unit
from tests.alerting.rulefiles import checked, written

MODELS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('*?"\\{}|.'), min_size=1,
    max_size=12,
)  # fmt: skip
PERCENT = st.integers(1, 99).map(lambda number: f"{number}%")
SECONDS = st.sampled_from(["200ms", "1s", "2.5s", "7s", "30s", "100s"])
COUNTS = st.integers(1, 5000)
BY = st.sampled_from(
    [
        *([], ["model"], ["model", "provider"], ["workspace"]),
        *(["gateway"], ["series"], ["team", "model"], ["team_model"]),
    ]
)
"""Attributes may be called as records begin, or as other words are together."""


@st.composite
def alerts(draw: st.DrawFn) -> dict[str, Any]:
    word = draw(st.sampled_from(sorted(METRICS)))
    metric = METRICS[word]
    against = draw(st.sampled_from([None, None, None, "previous_period"]))
    against = None if metric.traffic is None else against
    rising = draw(st.booleans())
    limits = {Unit.SHARE: PERCENT, Unit.SECONDS: SECONDS}.get(metric.unit, COUNTS)
    limit = draw(limits)
    if against is not None:
        limit = ("" if rising else "-") + draw(PERCENT)
    periods = 1 if against else draw(st.integers(1, 4))
    alert: dict[str, Any] = {
        "metric": word,
        "period": draw(st.sampled_from(["1m", "2m", "5m"])),
        "periods": periods,
        "compare": draw(st.sampled_from(["above", "at_least"] if rising else ["below", "at_most"])),
        "severities": {draw(st.sampled_from(["critical", "error", "warning", "info"])): limit},
        "no_data": draw(st.sampled_from(["ignore", "keep", "alert"])),
        "title": draw(st.none() | MODELS.map(lambda text: f"{{{{{text}")),
    }
    if against is not None:
        alert["against"] = against
    elif periods > 1 and draw(st.booleans()):
        alert["breaching"] = draw(st.integers(1, periods))
    if word in BY_STATUS:
        alert["status"] = draw(st.sampled_from(["429", "5xx", "200"]))
    if not metric.is_own:
        alert["by"] = draw(BY)
        names = st.lists(MODELS, min_size=1, max_size=3, unique=True)
        alert["scope"] = {
            key: draw(names)
            for key in draw(st.sets(st.sampled_from(["models", "providers"]), max_size=2))
        }
    if isinstance(metric.kind, Quantile) and against is None:
        alert["minimum_traffic"] = draw(st.sampled_from([0, 50]))
    return alert


@given(st.lists(alerts(), min_size=20, max_size=20))
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_random_definitions(promtool: Path, tmp_path_factory: Any, drawn: list[Any]) -> None:
    named = [{"name": f"Alert{number}", **alert} for number, alert in enumerate(drawn)]
    valid = [alert for alert in named if is_valid(alert)]
    definitions = Definitions.model_validate({"alerts": valid})
    checked(written(definitions, tmp_path_factory.mktemp("random")), promtool)


@given(st.lists(BY, min_size=2, max_size=4), st.sampled_from(["error_rate", "throttled_rate"]))
@settings(deadline=None)
def test_an_alert_is_the_same_alone_and_among_others(ways: list[list[str]], metric: str) -> None:
    watched = [
        {"name": f"Alert{number}", "metric": metric, "by": by, "severities": {"info": "5%"}}
        for number, by in enumerate(ways)
    ]
    together = expressions(watched)
    for alert in watched:
        assert expressions([alert]) <= together


def expressions(watched: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Names of all records and alerts, with what they are."""
    found: set[tuple[str, str]] = set()
    for group in groups_of(Definitions.model_validate({"alerts": watched})):
        found |= {(record.name, record.expression) for record in group.records.rules.values()}
        found |= {(alert.name, alert.expression) for alert in group.alerts}
    return found


def is_valid(alert: dict[str, Any]) -> bool:
    """Whether it says something that can happen; what cannot is refused, which others test."""
    try:
        Definitions.model_validate({"alerts": [alert]})
    except ValidationError:
        return False
    return True
