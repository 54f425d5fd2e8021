"""Request logs: single requests, for teams whose request logs go by OTLP to Loki."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import logs as build_logs
from grafana_foundation_sdk.builders import loki, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from exporter.alerting.labels import ERROR_TYPE, MODEL, PROVIDER, STATUS_CODE
from exporter.alerting.promql import quoted
from exporter.dashboards import board
from exporter.dashboards.board import REQUESTS_PAGE, Board, Section, VariableBuilder
from exporter.dashboards.options import Options
from exporter.dashboards.panels import NO_DATA, STATUS_COLOURS, PanelBuilder, note, override
from exporter.vocabulary import prometheus_label

UID = "llm-gateway-logs"
LOKI = model.DataSourceRef(type_val="loki", uid="${loki_datasource}")

SERVICE = "llm-gateway-exporter"

REQUEST_ID = "llm_gateway.request.id"
DURATION = "llm_gateway.request.duration"
FIRST_TOKEN = "gen_ai.response.time_to_first_chunk"
"""Attributes of a log record, beside those of the series."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the table of requests; units and widths as Grafana has them."""

    title: str
    unit: str = ""
    width: int = 0


COLUMNS = {
    "Time": Field("Time", width=165),
    prometheus_label(REQUEST_ID): Field("Request", width=180),
    MODEL: Field("Model"),
    PROVIDER: Field("Provider", width=110),
    STATUS_CODE: Field("Status", width=75),
    ERROR_TYPE: Field("Error"),
    prometheus_label(DURATION): Field("Latency", "s", 85),
    prometheus_label(FIRST_TOKEN): Field("TTFT", "s", 80),
    prometheus_label("gen_ai.usage.input_tokens"): Field("Tokens in", "locale", 96),
    prometheus_label("gen_ai.usage.output_tokens"): Field("Tokens out", "locale", 100),
}
"""The page's columns, by the structured metadata of a log record, as Loki names it."""


def request_logs(options: Options) -> Board:
    """The dashboard."""
    return Board(
        uid=UID,
        title="LLM gateway / Request logs",
        description="Single requests, from Loki.",
        sections=[Section("", [_where(), _over_time(options), _table(options), _details(options)])],
        variables=[
            _loki(),
            *(_filter(label, title) for label, title in _filters(options).items()),
            build.TextBoxVariable("request").label("Request id"),
            board.requests_url(options),
        ],
        times=("now-1h", "now"),
    )


def _filters(options: Options) -> dict[str, str]:
    """What requests are filtered by, as it is called, by its label."""
    labels = (MODEL, PROVIDER, STATUS_CODE)
    return {label: COLUMNS[label].title for label in labels} | options.attribute_titles


def _loki() -> VariableBuilder:
    # By another name than Prometheus's: links between the dashboards carry the variables along.
    return build.DatasourceVariable("loki_datasource").label("Data source").type("loki")


def _pattern_of(label: str) -> str:
    """The variable of a pattern for a label's values: links carry along those of values, too."""
    return f"pattern_{label}"


def _filter(label: str, title: str) -> VariableBuilder:
    """A pattern that people type: Loki has no list of the values of structured metadata."""
    variable = build.TextBoxVariable(_pattern_of(label))
    return variable.label(f"{title} (pattern)").default_value(".*")


def _lines(options: Options) -> str:
    """The log lines that the filters let through."""
    # In backticks a backslash is one; in quotes Loki refuses those of `gpt-4\.1`.
    filters = "".join(f" | {label}=~`${{{_pattern_of(label)}}}`" for label in _filters(options))
    wanted = f" | {prometheus_label(REQUEST_ID)}=~`.*${{request}}.*`"
    return f"{{service_name={quoted(SERVICE)}}}{filters}{wanted}"


def _query(options: Options) -> loki.Dataquery:
    query = loki.Dataquery().expr(_lines(options)).query_type("range").max_lines(1000)
    return query.datasource(LOKI).ref_id("A")


def _where() -> PanelBuilder:
    return note(
        "Requests that the exporter sent to Loki by OTLP. Where it keeps them itself, they are "
        f"on [its own page]({REQUESTS_PAGE}). Filters are regular expressions; the newest 1,000 "
        "requests are shown."
    )


def _over_time(options: Options) -> PanelBuilder:
    counted = f"sum by ({STATUS_CODE}) (count_over_time({_lines(options)} [$__auto]))"
    query = loki.Dataquery().expr(counted).query_type("range").datasource(LOKI).ref_id("A")
    panel = (
        timeseries.Panel()
        .title("Requests by status code")
        .description("Requests in Loki that the filters let through. A gap is a gap in delivery.")
        .datasource(LOKI)
        .unit("short")
        .no_value("No requests")
        .span(24)
        .height(5)
        .draw_style(common.GraphDrawStyle.BARS)
        .fill_opacity(85)
        .line_width(0)
        .stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .legend(
            build_common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .with_target(query.legend_format(f"{{{{{STATUS_CODE}}}}}"))
    )
    for name, colour in STATUS_COLOURS.items():
        panel.override_by_name(name, [override("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def _table(options: Options) -> PanelBuilder:
    columns = COLUMNS | {label: Field(title) for label, title in options.attribute_titles.items()}
    panel = (
        table.Panel()
        .title("Requests")
        .description(
            "The newest requests. A request's id leads to its place on the exporter's page."
        )
        .datasource(LOKI)
        .unit("short")
        .no_value(NO_DATA)
        .span(24)
        .height(12)
        .cell_height(common.TableCellHeight.SM)
        .show_header(True)
        .sort_by([build_common.TableSortByFieldState().display_name("Time").desc(True)])
        .with_target(_query(options))
    )
    for field in columns.values():
        settings = [override("unit", field.unit)] if field.unit else []
        settings += [override("custom.width", field.width)] if field.width else []
        panel.override_by_name(field.title, settings)
    link = {
        "title": "On the exporter's page",
        "url": "${requests_url}/requests?id=${__value.raw:percentencode}",
    }
    panel.override_by_name("Request", [override("links", [link])])
    fields = {"source": "labels", "format": "json", "keepTime": True, "replace": True}
    organize = {
        "includeByName": dict.fromkeys(columns, True),
        "indexByName": {name: place for place, name in enumerate(columns)},
        "renameByName": {name: field.title for name, field in columns.items()},
    }
    return panel.with_transformation(
        model.DataTransformerConfig("extractFields", options=fields)
    ).with_transformation(model.DataTransformerConfig("organize", options=organize))


def _details(options: Options) -> PanelBuilder:
    return (
        build_logs.Panel()
        .title("Details")
        .description("The same requests as log lines: open one for all that is known of it.")
        .datasource(LOKI)
        .span(24)
        .height(10)
        .show_time(True)
        .enable_log_details(True)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .with_target(_query(options))
    )
