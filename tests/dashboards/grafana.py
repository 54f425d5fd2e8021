"""What Grafana 11 asks a Prometheus when somebody opens a dashboard.

Variables are filled in and times aligned. Written after Grafana's documentation of its variables
and of its Prometheus data source.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

from tests.prometheus import Prometheus

SCRAPE_INTERVAL_S = 30
"""As the data source is told."""

MOST_POINTS = 1_000
"""About a panel's width in pixels, where the panel says nothing else."""

NICE_STEPS_S = (
    *(1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800),
    *(3600, 7200, 10800, 21600, 43200, 86400, 604800),
)

Json: TypeAlias = dict[str, Any]
Value: TypeAlias = str | tuple[str, ...]
Labels: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Span:
    """The dashboard's time range, in epoch seconds."""

    start: float
    end: float

    @classmethod
    def told(cls, earliest: str, latest: str, now: float) -> "Span":
        """A range as dashboards have it, such as now-24h/h to now/m; days are those of UTC."""
        return cls(_moment(earliest, now), _moment(latest, now, rounded_up=True))

    @property
    def seconds(self) -> int:
        return round(self.end - self.start)


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel, as it is sent.

    Attributes:
        step_s: of a range query; 0 for an instant one, which is asked at the range's end.
    """

    panel: Json
    ref: str
    expression: str
    start: float
    end: float
    step_s: int

    @property
    def key(self) -> str:
        return f"{self.panel['id']}:{self.ref}"

    def answer(self, prometheus: Prometheus) -> list[Json]:
        """Series as Prometheus's API has them."""
        asked = {"query": self.expression}
        if self.step_s:
            asked |= {"start": str(self.start), "end": str(self.end), "step": str(self.step_s)}
            return series_of(prometheus, "query_range", asked)
        return series_of(prometheus, "query", asked | {"time": str(self.end)})


@dataclass(frozen=True)
class Dashboard:
    """A dashboard, opened on a time range with some of its variables set.

    Attributes:
        picks: values of variables; a tuple for those that take several. The rest are as they come.
    """

    json: Json
    span: Span
    picks: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, span: Span, **picks: Value) -> "Dashboard":
        return cls(json.loads(path.read_text()), span, picks)

    def panels(self) -> list[Json]:
        """All but the headings."""
        return [panel for panel in self.json["panels"] if panel["type"] != "row"]

    def panel(self, title: str) -> Json:
        """The one panel of that title."""
        (found,) = (panel for panel in self.panels() if panel["title"] == title)
        return found

    def variables(self) -> list[Json]:
        return list(self.json["templating"]["list"])

    def resolve(self, prometheus: Prometheus) -> "Dashboard":
        """With the variables that are a query's result asked for."""
        found: dict[str, Value] = {}
        for variable in self.variables():
            asked = re.fullmatch(r"query_result\((.*)\)", str(variable.get("query")), re.DOTALL)
            if variable["type"] == "query" and asked:
                (sample,) = prometheus.query(self.fill(asked[1]), self.span.end)
                text = "{" + ",".join(f'{k}="{v}"' for k, v in sample.labels.items()) + "}"
                wanted = re.search(variable["regex"].strip("/"), text)
                assert wanted, text
                found[variable["name"]] = wanted[1]
        return Dashboard(self.json, self.span, {**found, **self.picks})

    def choices(self, prometheus: Prometheus) -> dict[str, list[str]]:
        """What each variable of label values offers."""
        found = {}
        for variable in self.variables():
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", str(variable.get("query")))
            if variable["type"] == "query" and asked:
                selector = self.fill(asked[1])
                series = ask(
                    prometheus,
                    "series",
                    {"match[]": selector, "start": str(self.span.start), "end": str(self.span.end)},
                )
                found[variable["name"]] = sorted({each.get(asked[2], "") for each in series})
        return found

    def asked(self, panel: Json) -> Iterator[Asked]:
        """The queries of a panel to Prometheus."""
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] != "prometheus":
                continue
            step_s = 0 if target.get("instant") else self._step_s(panel, target)
            expression = self.fill(target["expr"], step_s, self._least_s(target))
            start, end = self.span.start, self.span.end
            if step_s:
                start, end = start // step_s * step_s, end // step_s * step_s
            yield Asked(panel, target["refId"], expression, start, end, step_s)

    def answers(self, prometheus: Prometheus, title: str) -> dict[str, list[Json]]:
        """What each query of the panel of that title gives, by its letter."""
        panel = self.panel(title)
        return {asked.ref: asked.answer(prometheus) for asked in self.asked(panel)}

    def _least_s(self, target: Json) -> int:
        interval = self.fill(str(target.get("interval") or ""))
        return _seconds(interval) if interval else SCRAPE_INTERVAL_S

    def _step_s(self, panel: Json, target: Json) -> int:
        points = panel.get("maxDataPoints") or MOST_POINTS
        fits = next(nice for nice in NICE_STEPS_S if nice >= self.span.seconds / points)
        return max(fits, self._least_s(target))

    def fill(self, text: str, step_s: int = 0, least_s: int = SCRAPE_INTERVAL_S) -> str:
        """The text with variables filled in."""
        built_in = {
            "__range_s": str(self.span.seconds),
            "__range_ms": str(self.span.seconds * 1000),
            "__interval": f"{step_s}s",
            "__auto": f"{step_s}s",
            "__rate_interval": f"{max(step_s + SCRAPE_INTERVAL_S, 4 * least_s)}s",
        }

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            return built_in[name] if name in built_in else self._value(name)

        return re.sub(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)", value, text)

    def _value(self, name: str) -> str:
        (variable,) = (each for each in self.variables() if each["name"] == name)
        if variable["type"] == "constant" or variable["type"] == "textbox":
            return str(self.picks.get(name, variable.get("query", "")))
        current = self.picks.get(name) or (variable.get("current") or {}).get("value")
        assert current is not None, f"{name} has no value"
        if current == "$__all":
            return str(variable["allValue"])
        values = [current] if isinstance(current, str) else current
        if not variable["multi"] and not variable.get("includeAll"):
            (value,) = values
            return value.replace("\\", r"\\").replace("'", r"\\'")
        escaped = [_as_pattern(value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _as_pattern(value: str) -> str:
    """A pattern of the value alone, within quotes."""
    return re.sub(r"[$^*{}\[\]+?.()|]", r"\\\\\g<0>", value.replace("\\", 4 * "\\"))


def ask(prometheus: Prometheus, path: str, parameters: Mapping[str, str]) -> Any:
    """The data of a GET of Prometheus's API."""
    return prometheus.get(f"{path}?{urlencode(parameters)}")


def series_of(prometheus: Prometheus, path: str, parameters: Mapping[str, str]) -> list[Json]:
    """The series of an answer to a query."""
    series: list[Json] = ask(prometheus, path, parameters)["result"]
    return series


def samples(answer: Sequence[Json]) -> dict[tuple[tuple[str, str], ...], float]:
    """Values of an instant vector by their labels, sorted."""
    return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in answer}


def points(answer: Sequence[Json]) -> dict[tuple[tuple[str, str], ...], dict[float, float]]:
    """Values of a range by their labels, then by their time."""
    return {
        tuple(sorted(each["metric"].items())): {t: float(value) for t, value in each["values"]}
        for each in answer
    }


def _moment(text: str, now: float, *, rounded_up: bool = False) -> float:
    back, unit = re.fullmatch(r"now(?:-(\d+[smhd]))?(?:/([smhd]))?", text).groups()  # type: ignore[union-attr]
    moment = now - (_seconds(back) if back else 0)
    if unit is None:
        return moment
    length = _seconds(f"1{unit}")
    begin = moment // length * length
    return begin + length - 0.001 if rounded_up else begin


def _seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smhd])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
