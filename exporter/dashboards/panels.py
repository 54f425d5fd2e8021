"""The kinds of panel: how a number, bars, lines, a heatmap and a table look everywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, table, text, timeseries
from grafana_foundation_sdk.builders import stat as build_stat
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.alerting.labels import STATUS_CODE
from exporter.alerting.promql import Promql

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the dashboard's variable names."""

_BUCKET = "${granularity}s"
"""The step of panels that show one bar for each bucket."""

MOST_POINTS = 11_000
"""Prometheus refuses more. Grafana, told of fewer, would widen the step and leave buckets out."""

NO_DATA = "\N{EN DASH}"
STATUS_LEGEND = f"{{{{{STATUS_CODE}}}}}"
COLOURS: Mapping[str, str] = {
    "plain input": "blue",
    "cached input": "super-light-blue",
    "input written to cache": "dark-blue",
    "plain output": "green",
    "reasoning output": "light-green",
    "p50": "green",
    "p90": "yellow",
    "p95": "orange",
    "p99": "red",
    "average": "blue",
}
STATUS_COLOURS: Mapping[str, str] = {
    "200": "green",
    "400": "yellow",
    "401": "light-yellow",
    "403": "dark-yellow",
    "404": "super-light-yellow",
    "408": "light-purple",
    "429": "orange",
    "500": "red",
    "502": "dark-red",
    "503": "light-red",
    "504": "purple",
}
"""What is always the same thing has always the same colour.

Models have the palette's, in the order of their names. The palette by name gives several of them
the same one: in light mode, of 20 usual names 15 are told apart.
"""

Levels: TypeAlias = Sequence[tuple[str, float | None]]
PanelBuilder: TypeAlias = Builder[model.Panel]

NEUTRAL: Levels = (("text", None),)
SUCCESS_LEVELS: Levels = (("red", None), ("orange", 0.95), ("green", 0.99))
LATENCY_LEVELS: Levels = (("text", None), ("orange", 30.0), ("red", 120.0))
FIRST_TOKEN_LEVELS: Levels = (("text", None), ("orange", 5.0), ("red", 20.0))
ERROR_LEVELS: Levels = (("text", None), ("orange", 1.0))


class _Common(Protocol):
    """What every kind of panel's builder can be told."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


Common = TypeVar("Common", bound=_Common)


@dataclass(frozen=True, slots=True)
class About:
    """What a panel says of itself.

    Attributes:
        description: what it shows, and when to worry.
        unit: as Grafana names it.
        width: in twenty-fourths of the screen.
        empty: what stands there when there is no data.
    """

    title: str
    description: str
    unit: str = units.Short
    width: int = 12
    height: int = 8
    empty: str = NO_DATA


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its series are called."""

    expression: Promql
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers in a table.

    Attributes:
        levels: colours by value; cells are coloured where there are several.
        width: in pixels.
    """

    title: str
    expression: Promql
    unit: str = "locale"
    levels: Levels = NEUTRAL
    width: int = 90
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A column of names in a table: a label, and where each name leads to."""

    label: str
    title: str
    links: Sequence[tuple[str, str]] = field(default=())
    width: int = 0


def stat(
    about: About,
    now: Promql,
    before: Promql | None = None,
    *,
    levels: Levels = NEUTRAL,
    less_is_better: bool | None = None,
    size: int = 38,
) -> PanelBuilder:
    """One number, in pixels so high; with the one before, by how much it has changed.

    A change for the better is green and one for the worse red, where it is the one or the other.

    Grafana's own change compares the first and last sample of one series. So two instants are asked
    for, the earlier first, and reduced to a series of two.
    """
    panel = _about(_number(size), about).color_mode(
        common.BigValueColorMode.VALUE if len(levels) > 1 else common.BigValueColorMode.NONE
    )
    panel.graph_mode(common.BigValueGraphMode.NONE).thresholds(_thresholds(levels))
    last = build_common.ReduceDataOptions().calcs(["lastNotNull"])
    if before is None:
        return panel.reduce_options(last).with_target(instant(now, "A"))
    colours = {
        True: common.PercentChangeColorMode.INVERTED,
        False: common.PercentChangeColorMode.STANDARD,
        None: common.PercentChangeColorMode.SAME_AS_VALUE,
    }
    return (
        panel.reduce_options(last.fields("/^Last \\*$/"))
        .with_target(instant(before, "A"))
        .with_target(instant(now, "B"))
        .with_transformation(
            model.DataTransformerConfig(
                "reduce", options={"mode": "seriesToRows", "reducers": ["lastNotNull"]}
            )
        )
        .show_percent_change(True)
        .percent_change_color_mode(colours[less_is_better])
    )


def _number(size: int) -> build_stat.Panel:
    sizes = build_common.VizTextDisplayOptions().value_size(size).percent_size(16)
    return (
        build_stat.Panel()
        .text(sizes)
        .text_mode(common.BigValueTextMode.VALUE)
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    )


def bars(about: About, *queries: Query, legend_right: bool = True) -> PanelBuilder:
    """A bar for each bucket, standing at the bucket's start; the running one shows, too."""
    return (
        _series(about, queries, step=_BUCKET, table_legend=legend_right, calculation="sum")
        .min(0)
        .draw_style(common.GraphDrawStyle.BARS)
        .bar_alignment(common.BarAlignment.AFTER)
        .bar_width_factor(0.9)
        .line_width(0)
        .fill_opacity(85)
        .stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .max_data_points(MOST_POINTS)
    )


def bucket_lines(about: About, *queries: Query, table_legend: bool = False) -> PanelBuilder:
    """A line through a value for each bucket; a bucket without one is a gap."""
    panel = _series(about, queries, step=_BUCKET, table_legend=table_legend, calculation="mean")
    return _lines(panel.min(0)).max_data_points(MOST_POINTS)


def lines(
    about: About, *queries: Query, table_legend: bool = False, below_zero: bool = False
) -> PanelBuilder:
    """Lines at the step that fits the screen."""
    panel = _series(about, queries, step="", table_legend=table_legend, calculation="lastNotNull")
    return _lines(panel if below_zero else panel.min(0))


def rates(about: About, *queries: Query) -> PanelBuilder:
    """Lines of rates, wide enough for counters that are recorded every five minutes."""
    panel = _series(about, queries, step="5m", table_legend=True, calculation="mean")
    return _lines(panel.min(0))


def sparkline(about: About, query: Query, *, bar: bool) -> PanelBuilder:
    """How a number came about, in little room: no axes, no legend."""
    panel = _series(about, [query], step=_BUCKET, table_legend=False, calculation="")
    panel = (
        panel.min(0)
        .axis_placement(common.AxisPlacement.HIDDEN)
        .legend(build_common.VizLegendOptions().show_legend(False).calcs([]))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color("blue"))
        .axis_grid_show(False)
        .max_data_points(MOST_POINTS)
    )
    if not bar:
        return _lines(panel).fill_opacity(12)
    return (
        panel.draw_style(common.GraphDrawStyle.BARS)
        .bar_alignment(common.BarAlignment.AFTER)
        .bar_width_factor(0.85)
        .line_width(0)
        .fill_opacity(70)
    )


def heat(about: About, buckets: Promql, *, exemplars: bool = True) -> PanelBuilder:
    """How often each value occurred, over time."""
    query = prometheus.Dataquery().expr(buckets).format(PromQueryFormat.HEATMAP).range().ref_id("A")
    query.legend_format("{{le}}").exemplar(exemplars)
    colour = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    colour.exponent(0.5).reverse(False).fill("dark-orange")
    return (
        _about(heatmap.Panel(), about)
        .calculate(False)
        .color(colour)
        .y_axis(heatmap.YAxisConfig().unit(about.unit).axis_placement(common.AxisPlacement.LEFT))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .show_legend()
        .max_data_points(60)
        .with_target(query.datasource(SOURCE))
    )


def rows(
    about: About,
    keys: Sequence[Key],
    columns: Sequence[Column],
    sort_by: str,
    *,
    descending: bool = True,
) -> PanelBuilder:
    """A table with a row for each combination of the keys' labels."""
    panel = (
        _about(table.Panel(), about)
        .cell_height(common.TableCellHeight.SM)
        .sort_by([build_common.TableSortByFieldState().display_name(sort_by).desc(descending)])
        .show_header(True)
    )
    names = {f"Value #{_ref(i)}": column.title for i, column in enumerate(columns)}
    if len(columns) == 1:
        names["Value"] = columns[0].title
    for number, column in enumerate(columns):
        panel.with_target(instant(column.expression, _ref(number), PromQueryFormat.TABLE))
        panel.override_by_name(column.title, _column(column))
    for key in keys:
        panel.override_by_name(key.title, _key(key))
        names[key.label] = key.title
    order = [key.label for key in keys] + [f"Value #{_ref(i)}" for i in range(len(columns))]
    organize = {
        "excludeByName": {"Time": True},
        "renameByName": names,
        "indexByName": {name: place for place, name in enumerate(order)},
    }
    return panel.with_transformation(
        model.DataTransformerConfig("merge", options={})
    ).with_transformation(model.DataTransformerConfig("organize", options=organize))


def note(content: str) -> PanelBuilder:
    """Two lines of text for people, in Markdown."""
    return text.Panel().title("").content(content).span(24).height(2).transparent(True)


def instant(
    expression: Promql, ref: str, form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> prometheus.Dataquery:
    """The value at the end of the time range."""
    query = prometheus.Dataquery().expr(expression).instant().format(form).ref_id(ref)
    return query.legend_format("").datasource(SOURCE)


def override(name: str, value: object) -> model.DynamicConfigValue:
    """One setting of some fields only."""
    return model.DynamicConfigValue(name, value)


def _about(panel: Common, about: About) -> Common:
    return (
        panel.title(about.title)
        .description(about.description)
        .datasource(SOURCE)
        .unit(about.unit)
        .no_value(about.empty)
        .span(about.width)
        .height(about.height)
    )


def _series(
    about: About, queries: Sequence[Query], *, step: str, table_legend: bool, calculation: str
) -> timeseries.Panel:
    legend = build_common.VizLegendOptions().show_legend(True)
    if table_legend:
        legend.display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.RIGHT)
        legend.calcs([calculation]).sort_by(_LEGEND_HEADS[calculation]).sort_desc(True)
    else:
        legend.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
        legend.calcs([])
    tooltip = build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    panel = (
        _about(timeseries.Panel(), about)
        .legend(legend)
        .tooltip(tooltip.sort(common.SortOrder.DESCENDING))
        .show_points(common.VisibilityMode.NEVER)
        .axis_soft_min(0)
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    )
    for number, each in enumerate(queries):
        query = prometheus.Dataquery().expr(each.expression).range().ref_id(_ref(number))
        query.legend_format(each.legend or "__auto").datasource(SOURCE)
        panel.with_target(query.interval(step) if step else query)
    legends = {each.legend for each in queries}
    fixed = STATUS_COLOURS if STATUS_LEGEND in legends else COLOURS
    for name, colour in fixed.items():
        if name in legends or fixed is STATUS_COLOURS:
            settings = {"mode": "fixed", "fixedColor": colour}
            panel.override_by_name(name, [override("color", settings)])
    return panel


_LEGEND_HEADS = {"sum": "Total", "mean": "Mean", "lastNotNull": "Last *"}


def _lines(panel: timeseries.Panel) -> timeseries.Panel:
    return (
        panel.draw_style(common.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.AUTO)
        .point_size(4)
    )


def _thresholds(levels: Levels) -> build.ThresholdsConfig:
    steps = [model.Threshold(value, colour) for colour, value in levels]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _column(column: Column) -> list[model.DynamicConfigValue]:
    settings = [override("unit", column.unit), override("custom.width", column.width)]
    if column.decimals is not None:
        settings.append(override("decimals", column.decimals))
    if len(column.levels) > 1:
        steps = [{"color": colour, "value": value} for colour, value in column.levels]
        settings += [
            override("thresholds", {"mode": "absolute", "steps": steps}),
            override("color", {"mode": "thresholds"}),
            override("custom.cellOptions", {"type": "color-text"}),
        ]
    return settings


def _key(key: Key) -> list[model.DynamicConfigValue]:
    settings = [override("custom.width", key.width)] if key.width else []
    links = [{"title": title, "url": url} for title, url in key.links]
    return [*settings, override("links", links)] if links else settings


def _ref(number: int) -> str:
    return chr(ord("A") + number)
