"""A dashboard out of sections of panels, and the variables that dashboards share."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from exporter import vocabulary as v
from exporter.alerting.labels import MODEL, OPERATION, PROVIDER, variable_of
from exporter.alerting.promql import Matcher
from exporter.dashboards.amounts import STATE_CREATED, Series
from exporter.dashboards.options import Options
from exporter.dashboards.panels import SOURCE, PanelBuilder

TAG = "llm-gateway"
MODEL_UID = "llm-gateway-model"
TO_MODEL = (
    f"/d/{MODEL_UID}?var-one_model=${{__value.raw:percentencode}}"
    "&${__url_time_range}&${datasource:queryparam}&${granularity:queryparam}"
)
"""Where a model's name in a table leads to."""

REQUESTS_PAGE = "${requests_url}/requests?from=${__from:date:iso}&to=${__to:date:iso}"
"""The exporter's page of requests, for the time range; needs the variable of `requests_url`."""

OF_MODELS = Matcher(MODEL, "=~", "$model")
"""The condition for series of the models that are chosen."""

OF_ONE_MODEL = Matcher(MODEL, "=", "$one_model")
"""The condition for series of a single model.

It has a variable of its own: links carry variables along, and `model` may be several, or All. It is
no pattern: in the value of a variable that cannot be so Grafana escapes nothing.
"""

ALL = "$__all"

GRANULARITIES = {"5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "1d": 86400}
"""Lengths of a bucket in seconds, by what they are called."""

RUNNING = "now/m"
"""End of a time range that goes on: that of the running minute.

That of the running hour would be up to an hour ahead. Numbers are asked for at the range's end, and
of what is not yet Prometheus has nothing.
"""

VariableBuilder = Builder[model.VariableModel]


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under a heading; "" is none."""

    title: str
    panels: Sequence[PanelBuilder]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Attributes:
        uid: never changes, so that links and bookmarks stay good.
        times: beginning and end that it opens with.
    """

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    variables: Sequence[VariableBuilder]
    times: tuple[str, str] = ("now-24h/h", RUNNING)
    annotations: Sequence[Builder[model.AnnotationQuery]] = ()
    refresh: str = "1m"

    def build(self) -> model.Dashboard:
        """As Grafana takes it."""
        earliest, latest = self.times
        dashboard = (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .timezone("browser")
            .time(earliest, latest)
            .refresh(self.refresh)
            .timepicker(_time_picker())
            .variables([*self.variables])
            .annotations([*self.annotations])
            .link(_siblings())
        )
        for section in self.sections:
            if section.title:
                dashboard.with_row(build.Row(section.title))
            for panel in section.panels:
                dashboard.with_panel(panel)
        built = dashboard.build()
        for number, placed in enumerate(built.panels or [], 1):
            placed.id_val = number
        return built


def _time_picker() -> build.TimePicker:
    """From whole hours and days: over these a number at the top is the sum of the bars below it."""
    ranges = {
        "Last 6 hours, whole": ("now-6h/h", RUNNING),
        "Last 24 hours, whole": ("now-24h/h", RUNNING),
        "Today": ("now/d", RUNNING),
        "Yesterday": ("now-1d/d", "now-1d/d"),
        "Last 7 days, whole": ("now-7d/d", "now-1d/d"),
        "Last 30 days, whole": ("now-30d/d", "now-1d/d"),
    }
    quick = [
        build.TimeOption().display(name).from_val(earliest).to(latest)
        for name, (earliest, latest) in ranges.items()
    ]
    return (
        build.TimePicker()
        .refresh_intervals(["30s", "1m", "5m", "15m", "1h"])
        .quick_ranges([*quick])
    )


def _siblings() -> build.DashboardLink:
    return (
        build.DashboardLink("LLM gateway")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
        .icon("dashboard")
    )


def chosen(
    options: Options, *, attributes: bool = True, one_model: bool = False
) -> tuple[Matcher, ...]:
    """What is picked in the variables, as conditions on labels."""
    labels = {PROVIDER: "provider"}
    if attributes:
        labels |= {label: variable_of(label) for label in options.attribute_labels}
    others = (Matcher(label, "=~", f"${name}") for label, name in labels.items())
    return (of_job(options), OF_ONE_MODEL if one_model else OF_MODELS, *others)


def of_job(options: Options) -> Matcher:
    """The condition for series about the exporter itself."""
    return Matcher(options.job_label, "=~", "$job")


def datasource(options: Options) -> VariableBuilder:
    """The Prometheus to ask."""
    variable = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    if options.datasource:
        variable.current(_option(options.datasource, options.datasource, selected=True))
    return variable


def job(options: Options) -> VariableBuilder:
    """The exporters to ask about."""
    return values_of("job", "job", options.job_label, Series(STATE_CREATED), any_value=".+")


def identity(options: Options, *, one_model: bool = False) -> list[VariableBuilder]:
    """Models, or one among them, provider and the extra attributes."""
    requests = Series(v.REQUESTS.prometheus_name, (of_job(options),))
    models = [values_of("model", "Models", MODEL, requests)]
    if one_model:
        among = requests.where(OF_MODELS)
        models.append(values_of("one_model", "Model", MODEL, among, multi=False))
        requests = requests.where(OF_ONE_MODEL)
    return [
        *models,
        values_of("provider", "Provider", PROVIDER, requests),
        *(
            values_of(variable_of(label), title, label, requests, any_value=".*")
            for label, title in options.attribute_titles.items()
        ),
    ]


def values_of(
    name: str,
    title: str,
    label: str,
    series: Series,
    *,
    multi: bool = True,
    any_value: str = ".+",
) -> VariableBuilder:
    """A variable of the values that a label has; looked up anew when the time range changes."""
    variable = (
        build.QueryVariable(name)
        .label(title)
        .query(f"label_values({series.select()}, {label})")
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(multi)
    )
    if multi:
        variable.include_all(True).all_value(any_value)
        variable.current(_option("All", ALL, selected=True))
    return variable


def granularity() -> VariableBuilder:
    """How long a bucket is."""
    return choice("granularity", "Granularity", {k: str(s) for k, s in GRANULARITIES.items()}, "1h")


def choice(name: str, title: str, values: dict[str, str], first: str) -> VariableBuilder:
    """A variable with a fixed set of values, by what they are called."""
    options = [_option(label, value, selected=label == first) for label, value in values.items()]
    return (
        build.CustomVariable(name)
        .label(title)
        .values(", ".join(f"{label} : {value}" for label, value in values.items()))
        .options(options)
        .current(next(option for option in options if option.selected))
    )


def requests_url(options: Options) -> VariableBuilder:
    """Where a browser finds the page of requests."""
    return build.ConstantVariable("requests_url").value(options.requests_url)


def by_labels(options: Options) -> dict[str, str]:
    """Labels that traffic can be split by, by what they are called."""
    return {
        "Model": MODEL,
        "Provider": PROVIDER,
        "Operation": OPERATION,
        **{title: label for label, title in options.attribute_titles.items()},
    }


def _option(text: str, value: str, *, selected: bool) -> model.VariableOption:
    return model.VariableOption(selected=selected, text=text, value=value)
